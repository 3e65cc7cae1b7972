import { FileSystem } from "@effect/platform"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Chunk,
  type Clock,
  ConfigProvider,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Scope,
  Stream,
  TestClock
} from "effect"
import { ChatManager, LLMConfig, LocalSessions } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, held, nothing, options, requests, sent, transcript, withScript } from "./support/chats.ts"

const { delayed, tokens } = ScriptedHttpClient

const config = LLMConfig.make(options())

/** Answers that take ten seconds. */
const slowly: ScriptedHttpClient.Script = (request) => delayed("10 seconds", echo()(request))

/** A manager, and its collected events. */
const make = (more?: Partial<ChatManager.Options>) =>
  Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config, ...more })
    const told: Array<string> = []
    yield* Effect.forkScoped(Stream.runForEach(manager.events, (event) =>
      Effect.sync(() =>
        told.push(`${event._tag} ${event.id}${event._tag === "Evicted" ? ` ${event.reason}` : ""}`)
      )))
    yield* TestClock.adjust(0)
    return { manager, events: Effect.as(TestClock.adjust(0), told) }
  })

/** Forks the effect, and advances the clock by the duration. */
const forkFor = <A, E, R>(effect: Effect.Effect<A, E, R>, duration: Duration.DurationInput) =>
  Effect.zipLeft(Effect.fork(effect), TestClock.adjust(duration))

describe("getChat", () => {
  it.scoped("returns the same conversation for the same id", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make()

      const one = yield* manager.getChat("ada")
      yield* one.chat("a")
      const again = yield* manager.getChat("ada")
      yield* again.chat("b")

      assert.deepStrictEqual(yield* transcript(one), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b"
      ])
      assert.deepStrictEqual(yield* events, ["Created ada"])
      assert.strictEqual(yield* manager.size, 1)
    }).pipe(withScript(echo())))

  it.scoped("runs the turns of different conversations concurrently", () =>
    Effect.gen(function*() {
      const { manager } = yield* make()
      const ada = yield* manager.getChat("ada")
      const bob = yield* manager.getChat("bob")

      const turns = yield* forkFor(Effect.all([ada.chat("a"), bob.chat("b")], { concurrency: 2 }), "10 seconds")

      yield* Fiber.join(turns)
      assert.deepStrictEqual((yield* requests).map((request) => request.at), [0, 0])
      assert.deepStrictEqual(yield* transcript(ada), ["system: S", "user: a", "assistant: re a"])
      assert.deepStrictEqual(yield* transcript(bob), ["system: S", "user: b", "assistant: re b"])
      assert.deepStrictEqual(yield* manager.ids, ["ada", "bob"])
    }).pipe(withScript(slowly)))

  it.scoped("returns the same conversation to concurrent fibers", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make()

      yield* Effect.forEach(
        ["a", "b", "c", "d"],
        (prompt) => Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat(prompt)),
        { concurrency: "unbounded" }
      )

      const chat = yield* manager.getChat("ada")
      assert.lengthOf(yield* transcript(chat), 9)
      assert.deepStrictEqual(yield* events, ["Created ada"])
    }).pipe(withScript(echo())))

  it.scoped("accepts a config for one conversation", () =>
    Effect.gen(function*() {
      const { manager } = yield* make()
      const own = LLMConfig.make(options({ model: "own", systemPrompt: "T", maxTokens: 5 }))

      const ada = yield* manager.getChat("ada", { config: own })
      const bob = yield* manager.getChat("bob")
      yield* ada.chat("a")
      yield* bob.chat("b")
      const again = yield* manager.getChat("ada")
      yield* again.chat("c")

      const asked = (yield* requests).map((request) => request.body)
      assert.deepInclude(asked[0], { model: "own", max_tokens: 5 })
      assert.deepInclude(asked[1], { model: "m", max_tokens: 8192 })
      assert.deepInclude(asked[2], { model: "own", max_tokens: 5 })
      assert.deepStrictEqual(sent((yield* requests)[2])[0], "system: T")
    }).pipe(withScript(echo())))

  it.scoped("accepts any text as an id", () =>
    Effect.gen(function*() {
      const { manager } = yield* make()
      const ids = ["__proto__", "constructor", "toString", "../../x", "", " ", "\u0000", "😀", "x".repeat(10_240)]

      yield* Effect.forEach(ids, (id, n) => Effect.flatMap(manager.getChat(id), (chat) => chat.chat(`${n}`)))
      const histories = yield* Effect.forEach(ids, (id) => Effect.flatMap(manager.getChat(id), transcript))

      assert.deepStrictEqual(histories.map((history) => history[1]), ids.map((_, n) => `user: ${n}`))
      assert.deepStrictEqual(yield* manager.ids, ids)
      assert.isTrue(yield* manager.has("__proto__"))
      assert.isFalse(yield* manager.has("hasOwnProperty"))
      assert.deepStrictEqual(yield* Effect.forEach(ids, manager.removeChat), ids.map(() => true))
      assert.strictEqual(yield* manager.size, 0)
    }).pipe(withScript(echo())))
})

describe("an idle conversation", () => {
  it.scoped("stays in memory without a timeout", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make()
      yield* manager.getChat("ada")

      yield* TestClock.adjust("10000 days")

      assert.isTrue(yield* manager.has("ada"))
      assert.deepStrictEqual(yield* events, ["Created ada"])
    }).pipe(withScript([])))

  it.scoped("is evicted after the timeout, and not before", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "1 minute" })
      yield* manager.getChat("ada")

      yield* TestClock.adjust("59999 millis")
      const before = yield* manager.has("ada")
      yield* TestClock.adjust("1 millis")

      assert.isTrue(before)
      assert.isFalse(yield* manager.has("ada"))
      assert.deepStrictEqual(yield* events, ["Created ada", "Evicted ada idle"])
    }).pipe(withScript([])))

  it.scoped("becomes idle after its last use, not after getChat", () =>
    Effect.gen(function*() {
      const { manager } = yield* make({ timeout: "1 minute" })
      const chat = yield* manager.getChat("ada")

      yield* TestClock.adjust("50 seconds")
      yield* chat.chat("a")
      yield* TestClock.adjust("50 seconds")
      const afterUse = yield* manager.has("ada")
      yield* manager.getChat("ada")
      yield* TestClock.adjust("10 seconds")

      assert.isTrue(afterUse)
      assert.isFalse(yield* manager.has("ada"))
    }).pipe(withScript(echo())))

  it.scoped("is used by all operations that read or change it", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "1 minute" })
      const chat = yield* manager.getChat("ada")
      const uses: ReadonlyArray<Effect.Effect<unknown, unknown>> = [
        chat.history,
        chat.usage,
        chat.ask("q"),
        Stream.runDrain(chat.askStream("q")),
        chat.updateSystemPrompt("T"),
        chat.clearHistory,
        Stream.runDrain(chat.chatEvents("a"))
      ]

      for (const use of uses) {
        yield* TestClock.adjust("50 seconds")
        yield* use
      }

      assert.deepStrictEqual(yield* events, ["Created ada"])
    }).pipe(withScript(echo())))

  it.scoped("is evicted without the conversations that were used later", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "1 minute" })
      const ada = yield* manager.getChat("ada")
      yield* manager.getChat("bob")
      yield* TestClock.adjust("30 seconds")
      yield* manager.getChat("cyd")
      yield* ada.history

      yield* TestClock.adjust("30 seconds")
      const first = (yield* events).slice()
      yield* TestClock.adjust("30 seconds")

      assert.deepStrictEqual(first, ["Created ada", "Created bob", "Created cyd", "Evicted bob idle"])
      assert.deepStrictEqual((yield* events).slice(4), ["Evicted cyd idle", "Evicted ada idle"])
    }).pipe(withScript([])))

  it.scoped("is evicted together with thousands of others", () =>
    Effect.gen(function*() {
      const { manager } = yield* make({ timeout: "1 minute" })
      for (let n = 0; n < 3000; n++) yield* manager.getChat(`${n}`)

      yield* TestClock.adjust("1 minute")

      assert.strictEqual(yield* manager.size, 0)
    }).pipe(withScript([])))

  it.scoped("is restored at its next use, with the config of the caller", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "1 minute" })
      const own = LLMConfig.make(options({ model: "own", systemPrompt: "T" }))
      const chat = yield* manager.getChat("ada", { config: own })
      yield* chat.chat("a")
      yield* TestClock.adjust("1 minute")

      yield* chat.chat("b")

      assert.deepStrictEqual(yield* events, ["Created ada", "Evicted ada idle", "Created ada"])
      assert.deepInclude((yield* requests)[1]?.body, { model: "own" })
      assert.deepStrictEqual(yield* transcript(chat), ["system: T", "user: b", "assistant: re b"])
    }).pipe(withScript(echo())))
})

describe("a conversation with a running turn", () => {
  it.scoped("is not evicted after the timeout, and becomes idle after the turn", () =>
    Effect.gen(function*() {
      const { manager } = yield* make({ timeout: "5 seconds" })
      const chat = yield* manager.getChat("ada")

      const turn = yield* forkFor(chat.chat("a"), "9 seconds")
      const during = yield* manager.has("ada")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(turn)
      yield* TestClock.adjust("4999 millis")
      const after = yield* manager.has("ada")
      yield* TestClock.adjust("1 millis")

      assert.deepStrictEqual([during, after, yield* manager.has("ada")], [true, true, false])
    }).pipe(withScript(slowly)))

  it.scoped("is not evicted while its consumer is busy", () =>
    Effect.gen(function*() {
      const { manager } = yield* make({ timeout: "5 seconds" })
      const chat = yield* manager.getChat("ada")

      yield* forkFor(Stream.runForEach(chat.chatStream("a b"), () => Effect.sleep("20 seconds")), "30 seconds")
      const during = yield* manager.has("ada")
      yield* TestClock.adjust("35 seconds")

      assert.isTrue(during)
      assert.isFalse(yield* manager.has("ada"))
    }).pipe(withScript(echo())))

  it.scoped("is not evicted while turns wait, and becomes idle after the last one", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "5 seconds" })
      const chat = yield* manager.getChat("ada")

      yield* Effect.fork(chat.chat("a"))
      yield* forkFor(chat.chat("b"), "24 seconds")
      const before = (yield* events).slice()
      yield* TestClock.adjust("1 second")

      assert.deepStrictEqual(before, ["Created ada"])
      assert.deepStrictEqual(yield* events, ["Created ada", "Evicted ada idle"])
    }).pipe(withScript(slowly)))

  it.scoped("becomes idle after a turn that failed or was interrupted", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "5 seconds" })
      const ada = yield* manager.getChat("ada")
      const bob = yield* manager.getChat("bob")

      yield* Effect.flip(ada.chat("a"))
      const turn = yield* forkFor(bob.chat("b"), "1 second")
      yield* Fiber.interrupt(turn)
      yield* TestClock.adjust("5 seconds")

      assert.deepStrictEqual((yield* events).slice(2), ["Evicted ada idle", "Evicted bob idle"])
    }).pipe(
      withScript([
        ScriptedHttpClient.json({}, { status: 400 }),
        tokens([], { ending: ScriptedHttpClient.never })
      ])
    ))
})

describe("the capacity", () => {
  it.scoped("evicts the least recently used conversation", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ capacity: 2 })
      const ada = yield* manager.getChat("ada")
      yield* manager.getChat("bob")
      yield* ada.history

      yield* manager.getChat("cyd")

      assert.deepStrictEqual(yield* manager.ids, ["ada", "cyd"])
      assert.deepStrictEqual(yield* events, ["Created ada", "Created bob", "Created cyd", "Evicted bob capacity"])
    }).pipe(withScript([])))

  it.scoped("never evicts a conversation in use, and evicts after its turn instead", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ capacity: 1 })
      const ada = yield* manager.getChat("ada")
      const turn = yield* forkFor(ada.chat("a"), "1 second")
      const bob = yield* manager.getChat("bob")
      const other = yield* forkFor(bob.chat("b"), "1 second")
      const sizes = [yield* manager.size]

      yield* TestClock.adjust("8 seconds")
      yield* Fiber.join(turn)
      sizes.push(yield* manager.size)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(other)

      assert.deepStrictEqual(sizes, [2, 1])
      assert.deepStrictEqual(yield* manager.ids, ["bob"])
      assert.strictEqual((yield* events).at(-1), "Evicted ada capacity")
      assert.lengthOf(yield* transcript(bob), 3)
    }).pipe(withScript(slowly)))

  it.scoped("includes restored conversations", () =>
    Effect.gen(function*() {
      const { manager } = yield* make({ capacity: 1 })
      const ada = yield* manager.getChat("ada")
      yield* manager.getChat("bob")

      yield* ada.chat("a")

      assert.deepStrictEqual(yield* manager.ids, ["ada"])
      assert.lengthOf(yield* transcript(ada), 3)
    }).pipe(withScript(echo())))
})

describe("removeChat", () => {
  it.scoped("removes a conversation, and returns whether it existed", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make()
      const chat = yield* manager.getChat("ada")
      yield* chat.chat("a")

      const removed = yield* manager.removeChat("ada")
      const again = yield* manager.removeChat("ada")

      assert.deepStrictEqual([removed, again], [true, false])
      assert.isFalse(yield* manager.has("ada"))
      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
      assert.deepStrictEqual(yield* events, ["Created ada", "Removed ada", "Created ada"])
    }).pipe(withScript(echo())))

  it.scoped("interrupts the running turn, which is not stored", () =>
    Effect.gen(function*() {
      const { manager } = yield* make()
      const chat = yield* manager.getChat("ada")

      const turn = yield* forkFor(Stream.runCollect(chat.chatEvents("a")), "1500 millis")
      yield* manager.removeChat("ada")
      yield* Effect.yieldNow()
      assert.deepStrictEqual(yield* held, nothing)
      const last = Array.from(yield* Fiber.join(turn)).at(-1)

      assert.strictEqual(last?._tag === "Finish" ? last.reason : "", "interrupted")
      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
    }).pipe(withScript([tokens(["one", "two", "three"], { delay: "1 second" })])))

  it.scoped("runs the waiting turns in a new conversation", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make()
      const chat = yield* manager.getChat("ada")

      yield* forkFor(chat.chat("a"), "1 second")
      const second = yield* Effect.fork(chat.chat("b"))
      const third = yield* forkFor(Stream.runDrain(chat.chatStream("c")), 0)
      yield* manager.removeChat("ada")
      yield* TestClock.adjust("20 seconds")

      assert.strictEqual((yield* Fiber.join(second)).text, "re b")
      yield* Fiber.join(third)
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: b",
        "assistant: re b",
        "user: c",
        "assistant: re c"
      ])
      assert.deepStrictEqual(yield* events, ["Created ada", "Removed ada", "Created ada"])
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(withScript(slowly)))

  it.scoped("does not change a newer conversation with the same id", () =>
    Effect.gen(function*() {
      const { manager } = yield* make({ timeout: "5 seconds" })
      const chat = yield* manager.getChat("ada")
      const slow = yield* forkFor(
        Stream.runForEach(chat.chatStream("a"), () => Effect.sleep("20 seconds")),
        "11 seconds"
      )

      yield* manager.removeChat("ada")
      yield* chat.history
      yield* Fiber.interrupt(slow)
      const before = yield* manager.has("ada")
      yield* TestClock.adjust("5 seconds")

      assert.isTrue(before)
      assert.isFalse(yield* manager.has("ada"))
    }).pipe(withScript(slowly)))
})

describe("the scope of a manager", () => {
  it.effect("stops the running turns and interrupts the waiting ones when it closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const manager = yield* Scope.extend(ChatManager.make({ config, timeout: "1 minute" }), scope)
      const chat = yield* manager.getChat("ada")
      const turn = yield* forkFor(Stream.runCollect(chat.chatEvents("a")), "1500 millis")
      const waiting = yield* forkFor(chat.chat("b"), 0)

      yield* Scope.close(scope, Exit.void)

      assert.deepStrictEqual(yield* held, nothing)
      const last = Array.from(yield* Fiber.join(turn)).at(-1)
      assert.strictEqual(last?._tag === "Finish" ? last.response.text : "", "one")
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
      assert.lengthOf(yield* requests, 1)
    }).pipe(withScript([tokens(["one", "two"], { delay: "1 second" })])))

  it.effect("ends the stream of events and the eviction when it closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const manager = yield* Scope.extend(ChatManager.make({ config, timeout: "1 minute" }), scope)
      const events = yield* forkFor(Stream.runCollect(manager.events), 0)
      yield* manager.getChat("ada")

      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("1 hour")

      assert.isTrue(yield* manager.has("ada"))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(events)) || Exit.isSuccess(yield* Fiber.await(events)))
    }).pipe(withScript([])))
})

describe("the eviction", () => {
  /** A manager, and the durations of its sleeps. */
  const makeCounting = (more?: Partial<ChatManager.Options>) =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const slept: Array<number> = []
      const counting: Clock.Clock = Object.create(clock, {
        sleep: {
          value: (duration: Duration.Duration) => {
            slept.push(Duration.toMillis(duration))
            return clock.sleep(duration)
          }
        }
      })
      const manager = yield* Effect.withClock(ChatManager.make({ config, ...more }), counting)
      return { manager, slept }
    })

  it.scoped("sleeps until the next timeout, with any number of conversations", () =>
    Effect.gen(function*() {
      const { manager, slept } = yield* makeCounting({ timeout: "1 minute" })
      for (let n = 0; n < 100; n++) yield* manager.getChat(`${n}`)
      yield* TestClock.adjust("30 seconds")
      const last = yield* manager.getChat("99")
      yield* last.history

      yield* TestClock.adjust("30 seconds")
      const left = yield* manager.ids
      yield* TestClock.adjust("1 hour")

      assert.deepStrictEqual(left, ["99"])
      assert.strictEqual(yield* manager.size, 0)
      assert.deepStrictEqual(slept, [60_000, 30_000])
    }).pipe(withScript([])))

  it.scoped("does not sleep if no conversation is idle", () =>
    Effect.gen(function*() {
      const { manager, slept } = yield* makeCounting({ timeout: "1 minute" })
      yield* TestClock.adjust("1 hour")
      const chat = yield* manager.getChat("ada")
      yield* TestClock.adjust(0)
      yield* manager.removeChat("ada")
      yield* TestClock.adjust("1 hour")

      assert.deepStrictEqual(slept, [60_000])
      yield* chat.history
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* manager.has("ada"))
      assert.deepStrictEqual(slept, [60_000, 60_000])
    }).pipe(withScript([])))

  it.scoped("wakes when an empty manager creates a conversation, each time", () =>
    Effect.gen(function*() {
      const { events, manager } = yield* make({ timeout: "1 second" })

      for (let n = 0; n < 20; n++) {
        yield* manager.getChat(`${n}`)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* manager.size, 0, `${n}`)
      }

      assert.lengthOf(yield* events, 40)
    }).pipe(withScript([])))

  it.scoped("never sleeps longer than the maximum of a timer", () =>
    Effect.gen(function*() {
      const { manager, slept } = yield* makeCounting({ timeout: "60 days" })
      yield* manager.getChat("ada")

      yield* TestClock.adjust("60 days")

      assert.isFalse(yield* manager.has("ada"))
      assert.isAtMost(Math.max(...slept), 2 ** 31 - 1)
    }).pipe(withScript([])))
})

describe("docs/methods.md", () => {
  it.scoped("lists every member of a conversation and of a manager", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const page = yield* fs.readFileString("docs/methods.md")
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada")
      const membersIn = (section: string) =>
        (page.split(`## ${section}`)[1]?.split("\n## ")[0] ?? "")
          .split("The options of a manager")[0]
          ?.split("\n")
          .filter((line) => line.startsWith("| `"))
          .flatMap((line) => Array.from((line.split(" |")[0] ?? "").matchAll(/`(\w+)/g), ([, name]) => name))

      assert.sameMembers(membersIn("A conversation") ?? [], Object.keys(chat))
      assert.sameMembers(membersIn("A manager") ?? [], Object.keys(manager))
    }).pipe(withScript([]), Effect.provide(NodeFileSystem.layer)))
})

describe("ChatManager.layerConfig", () => {
  const fromVariables = (variables: Record<string, string>, more?: Parameters<typeof ChatManager.layerConfig>[0]) =>
    Layer.provide(
      ChatManager.layerConfig(more),
      Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))
    )

  it.effect("reads the settings of conversations from the environment", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.ChatManager
      const sessions = yield* LocalSessions.LocalSessions
      const ada = yield* manager.getChat("ada")
      yield* manager.getChat("bob")

      assert.strictEqual((yield* ada.settings).temperature, 0.25)
      assert.strictEqual(yield* sessions.size, 1)
    }).pipe(
      Effect.provide(fromVariables({ LLM_BASE_URL: "http://test/v1", LLM_TEMPERATURE: "0.25" }, { capacity: 1 })),
      withScript([])
    ))

  it.effect("replaces the settings of the environment by those of the program, and checks both", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.ChatManager
      const { config } = yield* manager.getChat("ada")
      assert.strictEqual(config.turnPolicy, "replace")
      assert.strictEqual(config.temperature, 0.5)
      assert.strictEqual(config.topP, 0.25)

      const failed = Layer.launch(fromVariables({ LLM_BASE_URL: "http://test/v1" }, { config: { topP: 7 } }))
      assert.strictEqual(
        yield* Effect.map(Effect.flip(failed), String),
        "(Invalid data at topP: \"Expected a number between 0 and 1, or null, actual 7\")"
      )
    }).pipe(
      Effect.provide(fromVariables(
        { LLM_BASE_URL: "http://test/v1", LLM_TEMPERATURE: "0.25", LLM_TOP_P: "0.25" },
        { config: { temperature: 0.5, turnPolicy: "replace" } }
      )),
      withScript([])
    ))

  it.effect("fails with the variable that is invalid or missing", () =>
    Effect.gen(function*() {
      const failure = (variables: Record<string, string>) =>
        Effect.map(Effect.flip(Layer.launch(fromVariables(variables))), String)

      assert.include(
        yield* failure({ LLM_BASE_URL: "http://test/v1", LLM_TOP_P: "7" }),
        "LLM_TOP_P: \"Expected a number"
      )
      assert.include(yield* failure({}), "Missing data at LLM_BASE_URL")
    }).pipe(withScript([])))
})

describe("the settings of a manager", () => {
  for (
    const [name, bad, field, value] of [
      ["a capacity of 0", { capacity: 0 }, "capacity", "0"],
      ["a fractional capacity", { capacity: 1.5 }, "capacity", "1.5"],
      ["a capacity of NaN", { capacity: NaN }, "capacity", "NaN"],
      ["a timeout of 0", { timeout: 0 }, "timeout", "0"],
      ["a negative timeout", { timeout: -5 }, "timeout", "0"],
      ["a config with an invalid field", { config: options({ topP: 7 }) }, "topP", "7"]
    ] as const
  ) {
    it.scoped(`are refused with the field and the value if they are invalid: ${name}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ChatManager.make({ config, ...bad }))

        assert.strictEqual(error._tag, "ParseError")
        assert.include(error.message, field)
        assert.include(error.message, value)
      }).pipe(withScript([])))
  }

  it.scoped("are all named in the error if several are invalid", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ChatManager.make({ config, capacity: 0, timeout: 0, storeTimeout: 0 }))

      assert.strictEqual(
        error.message,
        `timeout: Expected a duration greater than 0, such as 30000 (milliseconds), "30 seconds" or "Infinity", actual 0; ` +
          `storeTimeout: Expected a duration greater than 0, such as 30000 (milliseconds), "30 seconds" or "Infinity", actual 0; ` +
          "capacity: Expected a whole number above 0, or Infinity, actual 0"
      )
    }).pipe(withScript([])))

  it.scoped("can have an infinite timeout and an infinite capacity", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config, timeout: Duration.infinity, capacity: Infinity })

      yield* manager.getChat("ada")

      assert.strictEqual(yield* manager.size, 1)
    }).pipe(withScript([])))

  it.effect("fail the layer if they are invalid", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        Effect.provide(ChatManager.ChatManager, ChatManager.layer({ config, capacity: -1 }))
      )

      assert.include(error.message, "capacity")
    }).pipe(withScript([])))
})

describe("the events of a manager", () => {
  it.scoped("are emitted to each subscriber after its subscription", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.getChat("before")

      const listen = Effect.map(Stream.runCollect(Stream.take(manager.events, 2)), Chunk.toReadonlyArray)
      const one = yield* Effect.fork(listen)
      const two = yield* forkFor(listen, 0)
      yield* manager.getChat("ada")
      yield* manager.removeChat("ada")

      const expected = [{ _tag: "Created", id: "ada" }, { _tag: "Removed", id: "ada" }]
      assert.deepStrictEqual<unknown>(yield* Fiber.join(one), expected)
      assert.deepStrictEqual<unknown>(yield* Fiber.join(two), expected)
    }).pipe(withScript([])))
})
