/**
 * A conversation to run on every runtime: a chat, a stream, a stop, and the stored history afterwards.
 */
import { FetchHttpClient } from "@effect/platform"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { ChatManager, type ChatMessage, type HistoryStore } from "effect-chat"

/** The result of the conversation. */
export interface Report {
  readonly chat: string
  readonly stream: string
  /** The text and the finish reason of the turn that was stopped. */
  readonly stopped: readonly [text: string, reason: string | undefined]
  /** The history that another manager finds in the store. */
  readonly history: ReadonlyArray<string>
}

const id = "Ada Ü/1"

const toLine = (message: ChatMessage.ChatMessage): string =>
  `${message.role}: ${typeof message.content === "string" ? message.content : JSON.stringify(message.content)}`

/** The stored history as lines, read by a new manager. */
export const load = <E>(baseUrl: string, store: Layer.Layer<HistoryStore.HistoryStore, E>) =>
  Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config: { baseUrl, systemPrompt: "S" } })
    const chat = yield* manager.getChat(id)
    return (yield* chat.history).map(toLine)
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(store, FetchHttpClient.layer)))

/** Runs the conversation with a `LocalServer`. */
export const talk = <E>(baseUrl: string, store: Layer.Layer<HistoryStore.HistoryStore, E>) =>
  Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config: { baseUrl, apiKey: "k", systemPrompt: "S" } })
    const chat = yield* manager.getChat(id)

    const first = yield* chat.chat("one")
    const pieces = yield* Stream.runCollect(chat.chatStream("two"))

    const hasBegun = yield* Deferred.make<void>()
    const turn = yield* chat.chatEvents("one two three four five six", { model: "effect-chat-stall" }).pipe(
      Stream.tap((event) => event._tag === "TextDelta" ? Deferred.succeed(hasBegun, undefined) : Effect.void),
      Stream.runCollect,
      Effect.fork
    )
    yield* Deferred.await(hasBegun)
    yield* chat.stop
    const events = Array.from(yield* Fiber.join(turn))
    const finish = events.find((event) => event._tag === "Finish")

    return {
      chat: first.text,
      stream: Array.from(pieces).join(""),
      stopped: [finish?.response.text ?? "", finish?.reason] as const
    }
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(store, FetchHttpClient.layer)),
    Effect.flatMap((report) => Effect.map(load(baseUrl, store), (history): Report => ({ ...report, history })))
  )
