/**
 * Disturbs a turn of a manager with all features: a store, a window with summaries, limits, and a fallback server with a
 * smaller context.
 */
import { type HttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, type Fiber, FiberId, Layer, Option, Scope, Stream } from "effect"
import { type ChatError, ChatManager, Fallback, HistoryStore, HistoryWindow, Limits, type LLMChat } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, echoOf, held, lines, nothing, options, sent, streams, usage } from "../support/chats.ts"
import { atOperations, run, someOf, type Stage } from "../support/stage.ts"

type Services = HistoryStore.HistoryStore | HttpClient.HttpClient | ScriptedHttpClient.ScriptedHttpClient

const instruction = "Sum up."

const settings: ChatManager.Options = {
  config: options(),
  window: HistoryWindow.withShrink(
    HistoryWindow.summarize({ when: { turns: 2 }, keep: 1, instruction }),
    HistoryWindow.lastTurns(1)
  ),
  limits: Limits.make({ concurrency: 1, tokensPerMinute: 1e9 }),
  fallback: Fallback.make({ configs: [options({ baseUrl: "http://second.test/v1" })] })
}

/** The first server refuses the fourth turn as too busy. The context of the second one holds one earlier turn. */
const script: ScriptedHttpClient.Script = (request) => {
  const messages = sent(request)
  const last = messages.at(-1)
  const isSecond = request.url.startsWith("http://second.test")
  if (last === `user: ${instruction}`) return answer("summary", { usage: usage(100, 10) })
  if (last === "user: four" && !isSecond) return refusal(503, { message: "busy" })
  if (isSecond && messages.length > 4) return refusal(400, { message: "long", code: "context_length_exceeded" })
  return streams(request)
    ? echo({ usage: usage(3, 4) })(request)
    : answer(`re ${last?.replace("user: ", "")}`, { usage: usage(3, 4) })
}

const refusal = (status: number, error: object) => ScriptedHttpClient.json({ error }, { status })

interface Scene {
  readonly stage: Stage
  readonly manager: ChatManager.Service
  readonly chat: LLMChat.Service
  readonly turn: Fiber.RuntimeFiber<unknown, unknown>
}

/** Makes a manager on the stage, and a conversation that is summarized in its next turn. */
const begin = (stage: Stage) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Effect.context<Services>()
    const made = ChatManager.make(settings).pipe(Scope.extend(scope), Effect.provide(context))
    const manager = run(stage, made, "the manager")
    const chat = run(stage, manager.getChat("ada"), "getChat")
    for (const prompt of ["one", "two", "three"]) run(stage, chat.chat(prompt), prompt)
    return { scope, manager, chat }
  })

/** Asserts that the history has complete turns, that usage is counted once, and that the store equals the memory. */
const assertSound = ({ chat, manager, stage, turn }: Scene) =>
  Effect.gen(function*() {
    assert.isNotNull(turn.unsafePoll(), "the turn hangs")
    assert.deepStrictEqual(yield* held, nothing)
    run(stage, Effect.flatMap(manager.getChat("bob"), (bob) => bob.chat("another conversation")), "bob's turn")
    const before = lines(run(stage, chat.history, "the history before"))
    assert.strictEqual(run(stage, chat.chat("next"), "the next turn").text, echoOf(before, "next"))

    const history = run(stage, chat.history, "the history")
    const spent = run(stage, chat.usage, "the usage")
    const stored = Option.getOrThrow(yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => store.load("ada")))
    assert.deepStrictEqual([stored.messages, stored.usage], [history.slice(1), spent])
    assert.match(history.map(({ role }) => role).join(" "), /^system( user assistant)+$/)
    return spent.totalTokens
  })

/** Plays the scene with a disturbance at every 37th of its thousands of operations. */
const atEach = (
  say: (chat: LLMChat.Service) => Effect.Effect<unknown, ChatError.ChatError>,
  disturb: (scene: Scene) => void,
  isForgotten: boolean
) => {
  const scene = (stage: Stage, after: number) =>
    Effect.gen(function*() {
      const { chat, manager, scope } = yield* begin(stage)
      const turn = stage.fork(say(chat))
      stage.breakIn(after, () => disturb({ stage, manager, chat, turn }))
      stage.settle()
      stage.leaveAlone()
      const spent = yield* assertSound({ stage, manager, chat, turn })
      const all = run(stage, manager.usage, "the manager's usage").totalTokens
      if (!isForgotten) assert.strictEqual(spent + usage(3, 4).total_tokens, all)
      run(stage, Scope.close(scope, Exit.void), "the end")
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(script))))
  return Effect.map(atOperations(someOf(37), scene), (operations) => assert.isAbove(operations, 1_000))
}

const turns: Record<string, (chat: LLMChat.Service) => Effect.Effect<unknown, ChatError.ChatError>> = {
  "a turn with chat": (chat) => chat.chat("four"),
  "a turn with chatStream": (chat) => Stream.runDrain(chat.chatStream("four"))
}

const disturbances: Record<string, (scene: Scene) => void> = {
  "its fiber is interrupted": ({ turn }) => turn.unsafeInterruptAsFork(FiberId.none),
  "it is stopped": ({ chat, stage }) => void stage.start(chat.stop),
  "its conversation is removed": ({ manager, stage }) => void stage.start(manager.removeChat("ada")),
  "its history is cleared": ({ chat, stage }) => void stage.start(chat.clearHistory)
}

describe.each(Object.entries(turns))("%s leaves the manager consistent", (_, say) => {
  for (const [what, disturb] of Object.entries(disturbances)) {
    it.effect(`when ${what}`, () => atEach(say, disturb, what.includes("removed")), 120_000)
  }
})
