/**
 * Limits and fallback servers that all conversations of a manager share.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, FastCheck, Fiber, Redacted, Scope, Stream, TestClock } from "effect"
import { ChatManager, Fallback, Limits, type LLMChat, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import {
  answer,
  echo,
  held,
  lines,
  nothing,
  options,
  requests,
  sent,
  streams,
  usage,
  withScript
} from "../support/chats.ts"
import { runs } from "../support/runs.ts"

const manager = (more?: Partial<ChatManager.Options>) => ChatManager.make({ config: options(), ...more })

const slow = (duration: number): ScriptedHttpClient.Script => (request) =>
  ScriptedHttpClient.delayed(duration, echo()(request))

/** Runs all fibers until they wait. */
const settled = TestClock.adjust(0)

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.tap(Effect.fork(effect), () => settled)

/** The prompts of all requests so far, in order. */
const said = Effect.map(requests, (all) => all.map((request) => sent(request).at(-1)?.replace("user: ", "")))

const together = { concurrency: "unbounded", discard: true } as const

describe("The limits of a manager", () => {
  it.scoped("are shared by all methods of all its conversations", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({ limits: Limits.make({ concurrency: 2 }) })
      const [ada, bob, cy, di] = yield* Effect.all([getChat("ada"), getChat("bob"), getChat("cy"), getChat("di")])
      yield* fork(ada.chat("1"))
      yield* fork(Stream.runDrain(bob.chatStream("2")))
      yield* fork(cy.ask("3"))
      yield* fork(di.chat("4"))

      assert.deepStrictEqual(yield* said, ["1", "2"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* said, ["1", "2", "3", "4"])
    }).pipe(withScript(slow(1000))))

  it.scoped("serve the conversations in turn, even if one queues many calls", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({ limits: Limits.make({ concurrency: 1 }) })
      const [ada, bob, cy] = yield* Effect.all([getChat("ada"), getChat("bob"), getChat("cy")])
      yield* fork(Effect.forEach(Array.from({ length: 50 }), (_, n) => ada.ask(`a${n}`), together))
      yield* fork(Effect.all([bob.chat("b0"), cy.chat("c0"), cy.chat("c1")], together))

      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* said, ["a0", "a1", "b0", "c0", "a2"])
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* said).at(-1), "c1")
    }).pipe(withScript(slow(1000))))

  it.scoped("delay requests of all conversations according to the actual usage", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({ limits: Limits.make({ tokensPerMinute: 100, reserve: () => 60 }) })
      const [ada, bob, cy] = yield* Effect.all([getChat("ada"), getChat("bob"), getChat("cy")])
      yield* ada.chat("1")
      yield* fork(Effect.all([bob.chat("2"), cy.chat("3")], together))

      assert.deepStrictEqual(yield* said, ["1", "2"])
      yield* TestClock.adjust("59999 millis")
      assert.deepStrictEqual(yield* said, ["1", "2"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* said, ["1", "2", "3"])
    }).pipe(withScript([
      answer("a", { usage: usage(20, 20) }),
      ScriptedHttpClient.delayed("2 minutes", answer("b", { usage: usage(20, 20) })),
      answer("c", { usage: usage(20, 20) })
    ])))

  it.scoped("allow a waiting turn to be stopped, which keeps its prompt, and the next one runs", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({ limits: Limits.make({ concurrency: 1 }) })
      const [ada, bob, cy] = yield* Effect.all([getChat("ada"), getChat("bob"), getChat("cy")])
      yield* fork(ada.chat("a"))
      const turn = yield* fork(bob.chat("b"))
      yield* fork(cy.chat("c"))

      yield* bob.stop

      assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
      assert.deepStrictEqual(lines(yield* bob.history), ["system: S", "user: b", "assistant:  [interrupted]"])
      assert.strictEqual((yield* bob.usage).totalTokens, 0)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* said, ["a", "c"])
    }).pipe(withScript(slow(1000))))

  it.scoped("allow waiting turns to continue during the grace of a closing manager, but not after it", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { getChat } = yield* Scope.extend(
        manager({ limits: Limits.make({ concurrency: 1 }), grace: "5 seconds" }),
        scope
      )
      const chats = yield* Effect.forEach(["ada", "bob", "cy"], (id) => getChat(id))
      const turns = yield* Effect.forEach(chats, (chat, n) => fork(chat.chat(`${n}`)))

      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(closing)

      const ends = yield* Effect.forEach(turns, (turn) => Fiber.join(turn))
      assert.deepStrictEqual(ends.map(({ finishReason }) => finishReason), ["stop", "stop", "interrupted"])
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(withScript(slow(2000))))

  for (
    const [field, limits] of Object.entries({
      concurrency: { concurrency: 0 },
      requestsPerMinute: { requestsPerMinute: 1.5 },
      tokensPerMinute: { tokensPerMinute: -3 }
    })
  ) {
    it.scoped(`are refused with the field, the value and the rule if they are invalid: ${field}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(manager({ limits: Limits.make(limits) }))

        assert.strictEqual(error._tag, "ParseError")
        assert.include(error.message, field)
        assert.include(
          error.message,
          `Expected a whole number above 0, or Infinity, actual ${Object.values(limits)[0]}`
        )
      }).pipe(withScript([])))
  }

  it.scoped("do not apply if they are infinite", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({
        limits: Limits.make({ concurrency: Infinity, requestsPerMinute: Infinity })
      })
      const chat = yield* getChat("ada")
      yield* fork(Effect.forEach(Array.from({ length: 300 }), () => chat.ask("x"), together))

      assert.lengthOf(yield* said, 300)
    }).pipe(withScript(slow(1000))))
})

describe("The limits of a manager, with random calls", () => {
  const minute = 60_000

  /** A call of one user after a pause. The user interrupts it after `patience`. */
  const arrival = FastCheck.record({
    pause: FastCheck.integer({ min: 0, max: 15_000 }),
    user: FastCheck.constantFrom("ada", "bob", "cy", "di"),
    how: FastCheck.constantFrom("chat", "stream", "ask"),
    tokens: FastCheck.integer({ min: 1, max: 100 }),
    patience: FastCheck.option(FastCheck.integer({ min: 0, max: 90_000 }), { nil: undefined })
  })

  interface Begun {
    readonly at: number
    readonly tokens: number
  }

  const call = (chat: LLMChat.Service, how: string, prompt: string): Effect.Effect<unknown, unknown> => {
    if (how === "ask") return chat.ask(prompt)
    return how === "chat" ? chat.chat(prompt) : Stream.runDrain(chat.chatStream(prompt))
  }

  /** The largest sum of the amounts within a minute. */
  const most = (begun: ReadonlyArray<Begun>, amount: (call: Begun) => number): number =>
    Math.max(
      0,
      ...begun.map(({ at }) =>
        begun.reduce((sum, other) => other.at > at - minute && other.at <= at ? sum + amount(other) : sum, 0)
      )
    )

  it.effect.prop(
    "apply in every minute, and every call that is not interrupted completes",
    [
      FastCheck.integer({ min: 1, max: 3 }),
      FastCheck.integer({ min: 1, max: 6 }),
      FastCheck.integer({ min: 100, max: 300 }),
      FastCheck.array(arrival, { maxLength: 40 })
    ],
    ([concurrency, requestsPerMinute, tokensPerMinute, arrivals]) => {
      const begun: Array<Begun> = []
      let running = 0
      let mostRunning = 0
      // The prompt contains the number of tokens that the call uses. It never uses more than it reserved.
      const tokensOf = (text: string | undefined): number => Number(text?.replace(/\D/g, ""))
      // The prompts of interrupted turns come first in the same message.
      const lastPrompt = (text: string | undefined) => text?.split("\n\n").at(-1)
      const script: ScriptedHttpClient.Script = (request) =>
        Effect.gen(function*() {
          const tokens = tokensOf(lastPrompt(sent(request).at(-1)))
          begun.push({ at: yield* Clock.currentTimeMillis, tokens })
          mostRunning = Math.max(mostRunning, ++running)
          yield* Effect.ensuring(Effect.sleep(7_000), Effect.sync(() => running--))
          const told = { usage: usage(tokens, 0) }
          return streams(request) ? ScriptedHttpClient.tokens(["a"], told) : answer("a", told)
        })
      const reserve = ({ messages }: { readonly messages: ReadonlyArray<{ readonly content: unknown }> }) =>
        tokensOf(lastPrompt(String(messages.at(-1)?.content))) + 20
      return Effect.gen(function*() {
        const { getChat } = yield* manager({
          limits: Limits.make({ concurrency, requestsPerMinute, tokensPerMinute, reserve }),
          capacity: 2
        })
        let patient = 0
        let served = 0
        for (const { how, patience, pause, tokens, user } of arrivals) {
          yield* TestClock.adjust(pause)
          const chat = yield* getChat(user)
          const calling = call(chat, how, `${tokens}`)
          if (patience === undefined) {
            patient++
            yield* Effect.fork(Effect.tap(calling, () => Effect.sync(() => served++)))
          } else {
            yield* Effect.fork(Effect.timeoutOption(calling, patience))
          }
        }
        yield* TestClock.adjust("3 hours")

        assert.strictEqual(served, patient)
        assert.isAtMost(mostRunning, concurrency)
        assert.isAtMost(most(begun, () => 1), requestsPerMinute)
        assert.isAtMost(most(begun, ({ tokens }) => tokens), tokensPerMinute)
        assert.deepStrictEqual(yield* held, nothing)
      }).pipe(Effect.scoped, withScript(script))
    },
    { fastCheck: { numRuns: runs(8, 25) }, timeout: 60_000 }
  )

  it.effect.prop(
    "serve no conversation twice while another waits",
    [
      FastCheck.integer({ min: 1, max: 3 }),
      FastCheck.array(
        FastCheck.record({
          pause: FastCheck.integer({ min: 0, max: 4_000 }),
          user: FastCheck.constantFrom("ada", "bob", "cy", "di"),
          count: FastCheck.integer({ min: 1, max: 8 })
        }),
        { maxLength: 12 }
      )
    ],
    ([concurrency, arrivals]) => {
      const waiting = new Map<string, Array<number>>()
      const begun: Array<string> = []
      const unfair: Array<string> = []
      const nameOf = (text: string): string => text.split(" ")[0] ?? ""
      const script: ScriptedHttpClient.Script = (request) =>
        Effect.gen(function*() {
          const user = nameOf((sent(request).at(-1) ?? "").replace("user: ", ""))
          const since = waiting.get(user)?.shift() ?? 0
          begun.push(user)
          // Each other conversation was served at most once since this call began to wait or its conversation was last served.
          const earlier = begun.slice(Math.max(since, begun.lastIndexOf(user, -2) + 1), -1)
          if (new Set(earlier).size < earlier.length) unfair.push(earlier.join(" "))
          yield* Effect.sleep(2_000)
          return answer("a")
        })
      return Effect.gen(function*() {
        const { getChat } = yield* manager({ limits: Limits.make({ concurrency }) })
        for (const { count, pause, user } of arrivals) {
          yield* TestClock.adjust(pause)
          const chat = yield* getChat(user)
          for (let n = 0; n < count; n++) {
            waiting.set(user, [...waiting.get(user) ?? [], begun.length])
            yield* Effect.fork(chat.ask(`${user} ${n}`))
          }
        }
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(unfair, [])
        assert.lengthOf(begun, arrivals.reduce((sum, { count }) => sum + count, 0))
      }).pipe(Effect.scoped, withScript(script))
    },
    { fastCheck: { numRuns: runs(6, 15) }, timeout: 60_000 }
  )
})

describe("The fallback of a manager", () => {
  const hostOf = (request: ScriptedHttpClient.CapturedRequest): string => new URL(request.url).host

  const fails: ScriptedHttpClient.Script = (request) =>
    hostOf(request) === "scripted.test" ? ScriptedHttpClient.json({ error: "no" }, { status: 503 }) : echo()(request)

  const second = { baseUrl: "http://second.test/v1", provider: "second", model: "m2" }

  it.scoped("answers for every conversation, stores each turn once, and names the server", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({ fallback: Fallback.make({ configs: [second] }) })
      const [ada, bob] = yield* Effect.all([getChat("ada"), getChat("bob")])

      yield* Effect.all([ada.chat("a"), Stream.runDrain(bob.chatStream("b"))], together)

      assert.deepStrictEqual(lines(yield* ada.history), ["system: S", "user: a", "assistant: re a"])
      assert.deepStrictEqual(lines(yield* bob.history), ["system: S", "user: b", "assistant: re b"])
      assert.deepInclude((yield* ada.history).at(-1), { provider: "second", model: "scripted" })
    }).pipe(withScript(fails)))

  it.scoped("waits for its own permit at each attempt", () =>
    Effect.gen(function*() {
      const { getChat } = yield* manager({
        limits: Limits.make({ concurrency: 1, requestsPerMinute: 3 }),
        fallback: Fallback.make({ configs: [second] })
      })
      const [ada, bob] = yield* Effect.all([getChat("ada"), getChat("bob")])
      yield* fork(Effect.all([ada.chat("a"), bob.chat("b")], together))

      assert.deepStrictEqual((yield* requests).map(hostOf), ["scripted.test", "scripted.test", "second.test"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* said, ["a", "b", "a", "b"])
      assert.lengthOf(yield* bob.history, 3)
    }).pipe(withScript(fails)))

  it.scoped("is refused with its index, the field and the rule if it is invalid, and without its key", () =>
    Effect.gen(function*() {
      const bad = { ...second, apiKey: Redacted.make("sk-secret"), temperature: 3 }
      const error = yield* Effect.flip(manager({ fallback: Fallback.make({ configs: [LLMConfig.make(second), bad] }) }))

      assert.strictEqual(error._tag, "ParseError")
      assert.strictEqual(error.message, "configs.1.temperature: Expected a number between 0 and 2, or null, actual 3")
      assert.notInclude(error.message, "sk-secret")
    }).pipe(withScript([])))
})
