import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Ref, TestClock } from "effect"
import { ChatManager, type ChatMessage, HistoryStore, LLMConfig, Turn } from "effect-chat"
import { HistoryStoreError } from "effect-chat/ChatError"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, requests, transcript } from "../support/chats.ts"

const config = LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "", maxRetries: 0, onInterrupt: "keep" })

const scripted = (script: ScriptedHttpClient.Script) =>
  Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(script, { repeatLast: true })))

const slowly = scripted((request) => ScriptedHttpClient.delayed("1 second", echo()(request)))

const lost = new HistoryStoreError({ conversationId: "ada", message: "The connection is lost" })

/** A chat with a store. The second read of a version after `disturb` runs an effect first. */
const disturbed = Effect.gen(function*() {
  const store = yield* HistoryStore.HistoryStore
  const looks = yield* Ref.make<ReadonlyArray<Effect.Effect<void, HistoryStoreError>>>([])
  const next = Effect.flatten(
    Ref.modify(looks, ([first = Effect.void, ...rest]) => [first, rest])
  )
  const service: HistoryStore.Service = {
    ...store,
    isShared: true,
    version: (id) => Effect.zipRight(next, store.version(id))
  }
  const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, service)
  const disturb = (look: Effect.Effect<void, HistoryStoreError>) => Ref.set(looks, [Effect.void, look])
  return { chat: yield* manager.getChat("ada"), disturb, store }
})

describe("A turn that is called again with its id", () => {
  const interrupted = ["user: a", "assistant:  [interrupted]"]

  /** Interrupts the turn `m1`, and forks a second call of it, which waits for the store. */
  const begin = (look: Effect.Effect<void, HistoryStoreError>) =>
    Effect.gen(function*() {
      const { chat, disturb } = yield* disturbed
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(yield* transcript(chat), interrupted)
      yield* disturb(look)
      const second = yield* Effect.fork(Effect.exit(chat.chat("a", { turnId: "m1" })))
      yield* TestClock.adjust("100 millis")
      return { chat, second }
    })

  it.scoped("is stored once if it is interrupted before the store answers", () =>
    Effect.gen(function*() {
      const { chat, second } = yield* begin(Effect.sleep("5 seconds"))

      yield* Fiber.interrupt(second)
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual(yield* transcript(chat), interrupted)
    }).pipe(slowly))

  it.scoped("is stored once if it is stopped before the store answers", () =>
    Effect.gen(function*() {
      const { chat, second } = yield* begin(Effect.sleep("5 seconds"))

      yield* chat.stop
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(second)

      assert.deepStrictEqual(yield* transcript(chat), interrupted)
    }).pipe(slowly))

  it.scoped("is stored once if the store fails", () =>
    Effect.gen(function*() {
      const { chat, second } = yield* begin(lost)

      assert.isTrue(Exit.isFailure(yield* Fiber.join(second)))
      assert.deepStrictEqual(yield* transcript(chat), interrupted)
    }).pipe(slowly))

  it.scoped("is refused with another prompt, and stays unchanged", () =>
    Effect.gen(function*() {
      const { chat } = yield* disturbed
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(first)

      const error = yield* Effect.flip(chat.chat("b", { turnId: "m1" }))

      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.deepStrictEqual(yield* transcript(chat), interrupted)
    }).pipe(slowly))
})

describe("A regenerated turn", () => {
  it.scoped("is refused with the id of an earlier interrupted turn", () =>
    Effect.gen(function*() {
      const chat = yield* Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("ada"))
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(first)
      const second = yield* Effect.fork(chat.chat("b", { turnId: "m2" }))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(second)
      const before = yield* transcript(chat)

      const again = yield* Effect.fork(Effect.flip(chat.chat(Turn.regenerate("m2"), { turnId: "m1" })))
      yield* TestClock.adjust("10 seconds")

      assert.strictEqual((yield* Fiber.join(again))._tag, "InvalidRequestError")
      assert.deepStrictEqual(yield* transcript(chat), before)
    }).pipe(slowly))

  it.scoped("can have the id of the interrupted turn that it regenerates", () =>
    Effect.gen(function*() {
      const chat = yield* Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("ada"))
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interrupt(first)

      const again = yield* Effect.fork(chat.chat(Turn.regenerate("m1"), { turnId: "m1" }))
      yield* TestClock.adjust("10 seconds")

      assert.strictEqual((yield* Fiber.join(again)).text, "re a")
      assert.deepStrictEqual(yield* transcript(chat), ["user: a", "assistant: re a"])
    }).pipe(slowly))
})

describe("A turn with a new id", () => {
  it.scoped("keeps its prompt if it is interrupted before the store answers", () =>
    Effect.gen(function*() {
      const { chat, disturb } = yield* disturbed
      yield* disturb(Effect.sleep("5 seconds"))
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("100 millis")

      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual(yield* transcript(chat), ["user: a", "assistant:  [interrupted]"])
    }).pipe(slowly))
})

describe("A stored turn", () => {
  it.scoped("is found for an equal prompt with another order of members", () =>
    Effect.gen(function*() {
      const prompt: ReadonlyArray<ChatMessage.UserMessage> = [{
        content: [{ text: "Look!", type: "text" }, { detail: undefined, url: "http://x/y.png", type: "image" }],
        role: "user"
      }]
      const first = yield* Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("ada"))
      yield* first.chat(prompt, { turnId: "m1" })

      const second = yield* Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("ada"))
      const again = yield* second.chat(prompt, { turnId: "m1" })

      assert.strictEqual(again.turnId, "m1")
      assert.lengthOf(yield* requests, 1)
    }).pipe(Effect.provide(Layer.merge(Sqlite.layer({ filename: ":memory:" }), ScriptedHttpClient.layer(echo())))))

  it.scoped("is not saved twice if its write succeeded despite an error and another program wrote since", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const isLost = yield* Ref.make(false)
      const shared = { ...store, isShared: true }
      const losing: HistoryStore.Service = {
        ...shared,
        append: (turn) =>
          Effect.zipLeft(
            store.append(turn),
            Effect.if(Ref.get(isLost), { onTrue: () => lost, onFalse: () => Effect.void })
          )
      }
      const chatOver = (service: HistoryStore.Service) =>
        Effect.flatMap(
          Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, service),
          (manager) => manager.getChat("ada")
        )
      const one = yield* chatOver(losing)
      const other = yield* chatOver(shared)
      yield* one.chat("a")
      yield* Ref.set(isLost, true)
      yield* Effect.flip(one.chat("b"))
      yield* Ref.set(isLost, false)
      yield* other.chat("c")

      yield* one.save

      assert.deepStrictEqual(
        (yield* transcript(one)).filter((line) => line.startsWith("user")),
        ["user: a", "user: b", "user: c"]
      )
    }).pipe(scripted(echo())))
})
