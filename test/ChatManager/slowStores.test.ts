import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Option, Ref, Scope, Stream, TestClock } from "effect"
import { ChatManager, HistoryStore, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { held, nothing, requests, transcript } from "../support/chats.ts"

const config = LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "" })

const TestLayer = Layer.merge(
  HistoryStore.layerMemory,
  ScriptedHttpClient.layer((_request, index) => ScriptedHttpClient.tokens([`answer ${index + 1}`]))
)

/** A manager with a store that waits for `delay` before its operations. */
const slow = (
  options: { readonly storeTimeout?: Duration.DurationInput | undefined; readonly uninterruptible?: boolean } = {}
) =>
  Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    const delay = yield* Ref.make<Duration.DurationInput>(0)
    const wait = Effect.flatMap(Ref.get(delay), (delay) => delay === 0 ? Effect.void : Effect.sleep(delay))
    const before = options.uninterruptible === true ? Effect.uninterruptible(wait) : wait
    const service: HistoryStore.Service = {
      ...store,
      list: Stream.zipRight(Stream.fromEffect(before), store.list),
      conversations: (query) => Effect.zipRight(before, store.conversations(query)),
      load: (id) => Effect.zipRight(before, store.load(id)),
      append: (turn) => Effect.zipRight(before, store.append(turn)),
      commit: (commit) => Effect.zipRight(before, store.commit(commit)),
      clear: (target) => Effect.zipRight(before, store.clear(target)),
      remove: (id) => Effect.zipRight(before, store.remove(id))
    }
    const manager = yield* Effect.provideService(
      ChatManager.make({ config, ...options }),
      HistoryStore.HistoryStore,
      service
    )
    return { delay, manager, store }
  })

describe("A slow store", () => {
  it.scoped("does not delay an interruption, and stores the turn later", () =>
    Effect.gen(function*() {
      const { delay, manager, store } = yield* slow()
      const chat = yield* manager.getChat("ada")
      yield* chat.history
      yield* Ref.set(delay, "8 seconds")

      const turn = yield* Effect.fork(chat.chat("one"))
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.interrupt(turn)

      assert.isTrue(Exit.isInterrupted(exit))
      assert.isTrue(Option.isNone(yield* store.load("ada")))
      yield* TestClock.adjust("7 seconds")
      assert.lengthOf(Option.getOrThrow(yield* store.load("ada")).messages, 2)
      assert.deepStrictEqual(yield* transcript(chat), ["user: one", "assistant: answer 1"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("does not delay Effect.timeout", () =>
    Effect.gen(function*() {
      const { delay, manager } = yield* slow({ uninterruptible: true })
      const chat = yield* manager.getChat("ada")
      yield* Ref.set(delay, "8 seconds")

      const turn = yield* Effect.fork(Effect.timeoutOption(chat.chat("one"), "1 second"))
      yield* TestClock.adjust("1 second")

      assert.isTrue(Option.isNone(yield* Fiber.join(turn)))
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("delays the next turn until the previous turn is stored", () =>
    Effect.gen(function*() {
      const { delay, manager } = yield* slow()
      const chat = yield* manager.getChat("ada")
      yield* chat.history
      yield* Ref.set(delay, "8 seconds")
      const first = yield* Effect.fork(chat.chat("one"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(first)

      const second = yield* Effect.fork(chat.chat("two"))
      yield* TestClock.adjust("6 seconds")
      const asked = (yield* requests).length
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.join(second)

      assert.strictEqual(asked, 1)
      assert.deepStrictEqual(yield* transcript(chat), [
        "user: one",
        "assistant: answer 1",
        "user: two",
        "assistant: answer 2"
      ])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("does not delay stop, which ends the request at once, and delays the end of the stopped turn", () =>
    Effect.gen(function*() {
      const { delay, manager, store } = yield* slow()
      const chat = yield* manager.getChat("ada")
      yield* chat.history
      yield* Ref.set(delay, "8 seconds")
      const turn = yield* Effect.fork(Stream.runLast(chat.chatEvents("one")))
      yield* TestClock.adjust("1 second")
      const before = yield* held

      const stop = yield* Effect.fork(chat.stop)
      yield* TestClock.adjust(0)

      assert.isTrue(Option.isSome(yield* Fiber.poll(stop)))
      assert.deepStrictEqual([before, yield* held], [{ ...nothing, open: 1 }, nothing])
      yield* TestClock.adjust("7 seconds")
      assert.isTrue(Option.isNone(yield* Fiber.poll(turn)))
      assert.isTrue(Option.isNone(yield* store.load("ada")))
      yield* TestClock.adjust("1 second")
      const finish = Option.getOrThrow(yield* Fiber.join(turn))
      assert.strictEqual(finish._tag === "Finish" ? finish.reason : "", "interrupted")
      assert.lengthOf(Option.getOrThrow(yield* store.load("ada")).messages, 2)
      assert.deepStrictEqual(yield* transcript(chat), ["user: one", "assistant: Hello [interrupted]"])
    }).pipe(Effect.provide(Layer.merge(
      HistoryStore.layerMemory,
      ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello"], { ending: ScriptedHttpClient.never })])
    ))))

  it.scoped("does not fail later reads after a read was interrupted", () =>
    Effect.gen(function*() {
      const { delay, manager } = yield* slow({ uninterruptible: true })
      const chat = yield* manager.getChat("ada")
      yield* Ref.set(delay, "8 seconds")

      const history = yield* Effect.fork(chat.history)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(history)
      yield* TestClock.adjust("10 seconds")
      yield* Ref.set(delay, 0)

      assert.deepStrictEqual(yield* chat.history, [])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("keeps a conversation in memory until its write is done", () =>
    Effect.gen(function*() {
      const { delay, manager } = yield* slow()
      const chat = yield* manager.getChat("ada")
      yield* chat.history
      yield* Ref.set(delay, "8 seconds")
      const turn = yield* Effect.fork(chat.chat("one"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(turn)
      yield* Ref.set(delay, 0)

      const removed = yield* manager.removeOlderThan(0)

      assert.strictEqual(removed, 0)
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(yield* transcript(chat), ["user: one", "assistant: answer 1"])
    }).pipe(Effect.provide(TestLayer)))
})

describe("A store that dies", () => {
  it.scoped("fails the turn, but keeps the chosen settings and the usage", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const isBroken = yield* Ref.make(true)
      const commit: HistoryStore.Service["commit"] = (commit) =>
        Effect.flatMap(Ref.get(isBroken), (isBroken) => isBroken ? Effect.die("broken") : store.commit(commit))
      const manager = yield* Effect.provideService(
        ChatManager.make({ config, timeout: "1 minute" }),
        HistoryStore.HistoryStore,
        { ...store, commit }
      )
      const chat = yield* manager.getChat("ada", { title: "Ships", settings: { temperature: 0.5 } })

      const exit = yield* Effect.exit(chat.chat("one"))
      yield* Ref.set(isBroken, false)
      const again = yield* chat.chat("two")

      assert.isTrue(Exit.isFailure(exit))
      assert.strictEqual((yield* manager.conversations())[0]?.title, "Ships")
      assert.strictEqual((yield* chat.settings).temperature, 0.5)
      assert.isAbove((yield* chat.usage).totalTokens, again.usage?.totalTokens ?? Infinity)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* manager.size, 0)
    }).pipe(Effect.provide(TestLayer)))
})

describe("A store that does not answer", () => {
  for (const uninterruptible of [false, true]) {
    const which = uninterruptible ? "and cannot be interrupted" : "and can be interrupted"

    it.scoped(`fails a turn after ten seconds with HistoryStoreError (${which})`, () =>
      Effect.gen(function*() {
        const { delay, manager } = yield* slow({ uninterruptible })
        const chat = yield* manager.getChat("ada")
        yield* chat.history
        yield* Ref.set(delay, Duration.infinity)

        const turn = yield* Effect.fork(Effect.flip(chat.chat("one")))
        yield* TestClock.adjust("9999 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(turn)))
        yield* TestClock.adjust("1 millis")
        const error = yield* Fiber.join(turn)

        assert.strictEqual(error._tag, "HistoryStoreError")
        assert.include(error.message, "\"ada\" did not answer within 10s")
        assert.strictEqual(error.partial?.text, "answer 1")
      }).pipe(Effect.provide(TestLayer)))
  }

  it.scoped("stores the unsaved turn with save after it recovers", () =>
    Effect.gen(function*() {
      const { delay, manager } = yield* slow({ storeTimeout: "2 seconds" })
      const chat = yield* manager.getChat("ada")
      yield* chat.history
      yield* Ref.set(delay, Duration.infinity)
      const turn = yield* Effect.fork(Effect.flip(chat.chat("one")))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(turn)
      yield* Ref.set(delay, 0)

      assert.isTrue(yield* chat.save)
      assert.deepStrictEqual(yield* transcript(chat), ["user: one", "assistant: answer 1"])
    }).pipe(Effect.provide(TestLayer)))

  it.effect("delays closing the scope of the manager by at most ten seconds", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { delay, manager } = yield* Scope.extend(slow({ uninterruptible: true }), scope)
      const chat = yield* manager.getChat("ada")
      yield* chat.history
      yield* Ref.set(delay, Duration.infinity)
      const turn = yield* Effect.fork(chat.chat("one"))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(turn)

      const close = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("8999 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(close)))
      yield* TestClock.adjust("1 millis")

      assert.isTrue(Option.isSome(yield* Fiber.poll(close)))
    }).pipe(Effect.provide(TestLayer)))

  for (
    const [storeTimeout, limit, seconds] of [
      ["of ten seconds by default", undefined, 10],
      ["of storeTimeout", "2 seconds", 2]
    ] as const
  ) {
    it.scoped(`fails other operations of a chat and of the manager after the limit ${storeTimeout}`, () =>
      Effect.gen(function*() {
        const { delay, manager } = yield* slow({ storeTimeout: limit })
        const chat = yield* manager.getChat("ada")
        yield* chat.chat("one")
        yield* Ref.set(delay, Duration.infinity)

        const operations = [
          chat.clearHistory,
          chat.rewind(),
          manager.removeChat("ada"),
          manager.conversations(),
          Stream.runDrain(manager.list)
        ]
        for (const operation of operations) {
          const failed = yield* Effect.fork(Effect.flip(operation))
          yield* TestClock.adjust(Duration.seconds(seconds - 0.001))
          assert.isTrue(Option.isNone(yield* Fiber.poll(failed)))
          yield* TestClock.adjust("1 millis")

          assert.strictEqual((yield* Fiber.join(failed))._tag, "HistoryStoreError")
        }
      }).pipe(Effect.provide(TestLayer)))
  }

  it.effect("cannot have a storeTimeout that is not a number", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(ChatManager.make({ config, storeTimeout: Number.NaN })))

      assert.include(error.message, "storeTimeout")
    }).pipe(Effect.provide(TestLayer)))
})
