/**
 * Limits of a completions service: which calls wait, for how long, and that they release all permits.
 */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Clock, Effect, Exit, FastCheck, Fiber, FiberId, Scope, Stream, TestClock } from "effect"
import { ChatCompletions, ChatEvent, ChatManager, ChatMessage, Limits, LLMChat, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, held, nothing, options, requests, sent, usage, withScript } from "./support/chats.ts"
import { isThorough, runs } from "./support/runs.ts"
import { makeStage } from "./support/stage.ts"

const call = (text: string, conversation?: string, config: Partial<LLMConfig.Options> = {}) => ({
  config: LLMConfig.make(options(config)),
  messages: [ChatMessage.user(text)],
  conversation
})

const limited = (limits: Limits.Options) =>
  Effect.flatMap(ChatCompletions.make, (completions) => Limits.make(limits).over(completions))

/** The prompts of all requests so far, in order. */
const prompts = Effect.map(requests, (all) => all.map((request) => sent(request)[0]?.replace("user: ", "")))

const slow = (duration: number): ScriptedHttpClient.Script => (request) =>
  ScriptedHttpClient.delayed(duration, echo()(request))

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.tap(Effect.fork(effect), () => settled)

/** Lets all fibers run as far as they can. */
const settled = TestClock.adjust(0)

describe("a limit of concurrent calls", () => {
  it.scoped("runs that many calls, and the next one when one of them ends", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 2 })
      yield* fork(Effect.forEach([1, 2, 3, 4, 5], (n) => service.complete(call(`${n}`)), { concurrency: "unbounded" }))

      assert.deepStrictEqual(yield* prompts, ["1", "2"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* prompts, ["1", "2", "3", "4"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* prompts, ["1", "2", "3", "4", "5"])
    }).pipe(withScript(slow(1000))))

  it.scoped("serves conversations in turn, however many calls one of them queues", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      const many = Array.from({ length: 100 }, (_, n) => service.complete(call(`a${n}`, "a")))
      yield* fork(Effect.all(many, { concurrency: "unbounded" }))
      yield* fork(service.complete(call("b", "b")))
      yield* fork(service.complete(call("alone")))
      yield* fork(service.complete(call("alone too")))

      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* prompts, ["a0", "a1", "b", "alone", "alone too", "a2"])
      yield* TestClock.adjust("2 minutes")
      assert.lengthOf(yield* prompts, 103)
    }).pipe(withScript(slow(1000))))

  it.scoped("counts a stream until its last event, even if its consumer does not end", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      const pull = yield* Stream.toPull(service.stream(call("a b")))
      let events = yield* pull
      const next = yield* Effect.fork(service.complete(call("next")))
      while (!Chunk.some(events, ChatEvent.isFinish)) {
        yield* settled
        assert.deepStrictEqual(yield* prompts, ["a b"])
        events = yield* pull
      }
      yield* Fiber.join(next)
      assert.deepStrictEqual(yield* prompts, ["a b", "next"])
    }).pipe(withScript(echo())))

  it.scoped("counts a stream until its consumer stops reading", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      const reader = yield* fork(Stream.runDrain(service.stream(call("endless"))))
      const next = yield* fork(service.complete(call("next")))
      assert.deepStrictEqual(yield* prompts, ["endless"])

      yield* Fiber.interrupt(reader)
      yield* Fiber.join(next)
      yield* Stream.runDrain(Stream.take(service.stream(call("endless")), 1))
      yield* service.complete(call("last"))
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(withScript((request) =>
      sent(request)[0] === "user: endless"
        ? ScriptedHttpClient.tokens(["a"], { ending: ScriptedHttpClient.never })
        : echo()(request)
    )))

  it.scoped("counts a failing call until it fails", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      const error = yield* Effect.flip(service.complete(call("a")))
      const second = yield* Effect.flip(Stream.runDrain(service.stream(call("b"))))
      const third = yield* service.complete(call("c"))
      assert.strictEqual(error._tag, "ServerError")
      assert.strictEqual(second._tag, "TruncatedError")
      assert.strictEqual(third.text, "fine")
    }).pipe(withScript([
      ScriptedHttpClient.json({ error: "broken" }, { status: 500 }),
      ScriptedHttpClient.tokens(["a"], { ending: "truncated" }),
      answer("fine")
    ])))
})

describe("a limit of requests per minute", () => {
  it.scoped("starts that many at once, and the next one a minute after the first", () =>
    Effect.gen(function*() {
      const service = yield* limited({ requestsPerMinute: 3 })
      yield* fork(Effect.forEach([1, 2], (n) => service.complete(call(`${n}`)), { concurrency: "unbounded" }))
      yield* TestClock.adjust("30 seconds")
      yield* fork(Effect.forEach([3, 4, 5, 6], (n) => service.complete(call(`${n}`)), { concurrency: "unbounded" }))

      assert.deepStrictEqual(yield* prompts, ["1", "2", "3"])
      yield* TestClock.adjust("29999 millis")
      assert.lengthOf(yield* prompts, 3)
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* prompts, ["1", "2", "3", "4", "5"])
      yield* TestClock.adjust("30 seconds")
      assert.lengthOf(yield* prompts, 6)
    }).pipe(withScript(echo())))

  it.effect.prop(
    "applies to any minute and makes no call wait longer than necessary, whichever calls are interrupted",
    [
      FastCheck.integer({ min: 1, max: 4 }),
      FastCheck.integer({ min: 1, max: 8 }),
      FastCheck.array(
        FastCheck.record({
          pause: FastCheck.integer({ min: 0, max: 20_000 }),
          conversation: FastCheck.constantFrom("a", "b", undefined),
          patience: FastCheck.option(FastCheck.integer({ min: 0, max: 50_000 }), { nil: undefined })
        }),
        { maxLength: 40 }
      )
    ],
    ([concurrency, requestsPerMinute, calls]) => {
      const startTimes: Array<number> = []
      let running = 0
      let maxRunning = 0
      const script: ScriptedHttpClient.Script = (request) =>
        Effect.gen(function*() {
          startTimes.push(yield* Clock.currentTimeMillis)
          maxRunning = Math.max(maxRunning, ++running)
          yield* Effect.ensuring(Effect.sleep(7_000), Effect.sync(() => running--))
          return echo()(request)
        })
      return Effect.gen(function*() {
        const service = yield* limited({ concurrency, requestsPerMinute })
        let patient = 0
        let answered = 0
        for (const { conversation, patience, pause } of calls) {
          yield* TestClock.adjust(pause)
          const complete = service.complete(call("x", conversation))
          if (patience === undefined) {
            patient++
            yield* Effect.fork(Effect.tap(complete, () => Effect.sync(() => answered++)))
          } else {
            yield* Effect.fork(Effect.timeoutOption(complete, patience))
          }
        }
        yield* TestClock.adjust("2 hours")
        assert.strictEqual(answered, patient)
        assert.strictEqual(running, 0)
        assert.isAtMost(maxRunning, concurrency)
        for (const [index, at] of startTimes.entries()) {
          const first = startTimes[index - requestsPerMinute]
          if (first !== undefined) assert.isAtLeast(at - first, 60_000)
        }
      }).pipe(Effect.scoped, withScript(script))
    },
    { fastCheck: { numRuns: runs(10, 25) }, timeout: 60_000 }
  )
})

describe("a limit of tokens per minute", () => {
  const reserving = (tokensPerMinute: number, reserved: number) =>
    limited({ tokensPerMinute, reserve: () => reserved, concurrency: 10 })

  it.scoped("reserves the expected tokens of a call, and returns unused ones", () =>
    Effect.gen(function*() {
      const service = yield* reserving(1000, 400)
      yield* fork(Effect.forEach([1, 2, 3, 4], (n) => service.complete(call(`${n}`)), { concurrency: "unbounded" }))

      assert.deepStrictEqual(yield* prompts, ["1", "2"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* prompts, ["1", "2", "3", "4"])
    }).pipe(withScript(() => ScriptedHttpClient.delayed("1 second", answer("a", { usage: usage(60, 40) })))))

  it.scoped("counts tokens that a call uses beyond its reservation", () =>
    Effect.gen(function*() {
      const service = yield* reserving(1000, 10)
      yield* Stream.runDrain(service.stream(call("1")))
      yield* fork(service.complete(call("2")))

      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* prompts, ["1"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* prompts, ["1", "2"])
    }).pipe(withScript([ScriptedHttpClient.tokens(["a"], { usage: usage(1000, 500) }), answer("b")])))

  it.scoped("admits a call that needs more than the limit if no other tokens count", () =>
    Effect.gen(function*() {
      const service = yield* reserving(100, 5000)
      yield* fork(Effect.forEach([1, 2], (n) => service.complete(call(`${n}`)), { concurrency: "unbounded" }))
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(yield* prompts, ["1"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* prompts, ["1", "2"])
    }).pipe(withScript(slow(10_000_000))))

  it.scoped("counts millions of tokens exactly", () =>
    Effect.gen(function*() {
      const service = yield* limited({ tokensPerMinute: 2_000_000, reserve: () => 100_000 })
      yield* fork(
        Effect.forEach(Array.from({ length: 41 }), () => service.complete(call("x")), { concurrency: "unbounded" })
      )
      assert.lengthOf(yield* prompts, 20)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* prompts, 40)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(yield* prompts, 41)
    }).pipe(withScript(slow(10_000_000))))
})

describe("the token count of a failed call", () => {
  const sends = "a question of some words ".repeat(20)

  /** Whether a call with `size` tokens starts at once after the first one, with a limit of 1000 tokens. */
  const fits = (size: number, first: ScriptedHttpClient.ScriptedResponse) =>
    Effect.gen(function*() {
      const reserve = (request: ChatCompletions.ChatRequest) => request.messages[0]?.content === sends ? 900 : size
      const service = yield* limited({ tokensPerMinute: 1000, reserve })
      const request = call(sends, undefined, { firstTokenTimeout: "1 second" })
      const reader = yield* fork(Effect.exit(Stream.runDrain(service.stream(request))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(reader)
      yield* fork(service.complete(call("next")))
      return (yield* prompts).length === 2
    }).pipe(Effect.scoped, withScript([first, answer("next")]))

  it.effect("is 0 if the server refused it", () =>
    Effect.gen(function*() {
      assert.isTrue(yield* fits(1000, ScriptedHttpClient.json({ error: "no" }, { status: 400 })))
      assert.isTrue(yield* fits(1000, ScriptedHttpClient.connectionError()))
    }))

  it.effect("includes the request if the server took too long", () =>
    Effect.gen(function*() {
      const silent = ScriptedHttpClient.delayed("1 hour", answer("late"))
      assert.isTrue(yield* fits(860, silent))
      assert.isFalse(yield* fits(900, silent))
    }))

  it.effect("includes the request and the part that arrived if the consumer stopped reading", () =>
    Effect.gen(function*() {
      const text = "an answer of some words ".repeat(40)
      const unfinished = ScriptedHttpClient.tokens([text], { ending: ScriptedHttpClient.never })
      assert.isTrue(yield* fits(600, unfinished))
      assert.isFalse(yield* fits(660, unfinished))
    }))
})

describe("a waiting call", () => {
  it.scoped("can be interrupted, and gives its place to the next", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1, requestsPerMinute: 2 })
      yield* fork(service.complete(call("first")))
      const impatient = yield* fork(service.complete(call("impatient")))
      const reader = yield* fork(Stream.runDrain(service.stream(call("reader"))))
      yield* fork(service.complete(call("patient")))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(impatient)))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(reader)))

      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* prompts, ["first", "patient"])
    }).pipe(withScript(slow(1000))))

  /** The number of operations from one tested interruption to the next. 1 takes minutes and finds no more. */
  const stride = isThorough ? 7 : 23

  const testInterruptions = (
    name: string,
    run: (service: ChatCompletions.Service) => Effect.Effect<unknown, unknown>
  ) =>
    it.effect(
      `releases every permit if ${name} is interrupted after any operation`,
      () =>
        Effect.gen(function*() {
          let count = 0
          for (let brokeIn = true; brokeIn; count += stride) {
            const stage = yield* makeStage
            yield* Effect.gen(function*() {
              const scope = yield* Scope.make()
              const completions = yield* ChatCompletions.make
              const making = stage.start(Scope.extend(Limits.make({ concurrency: 1 }).over(completions), scope))
              stage.settle()
              const service = yield* Effect.flatten(Fiber.await(making))
              const before = stage.start(service.complete(call("before", "a")))
              const fiber = stage.fork(run(service))
              const beside = stage.fork(service.complete(call("beside", "b")))
              stage.breakIn(count, () => fiber.unsafeInterruptAsFork(FiberId.none))
              stage.settle()
              brokeIn = stage.brokeIn()
              assert.strictEqual(before.unsafePoll()?._tag, "Success", `before, after ${count} operations`)
              assert.strictEqual(beside.unsafePoll()?._tag, "Success", `beside, after ${count} operations`)
              assert.isNotNull(fiber.unsafePoll(), `the call hangs after ${count} operations`)
              const next = stage.fork(Effect.zip(service.complete(call("next")), service.complete(call("and next"))))
              stage.settle()
              assert.strictEqual(next.unsafePoll()?._tag, "Success", `after ${count} operations`)
              assert.deepStrictEqual(yield* held, nothing)
              stage.start(Scope.close(scope, Exit.void))
              stage.settle()
            }).pipe(withScript(echo()))
          }
          assert.isAbove(count, 50)
        }),
      60_000
    )

  testInterruptions("a call", (service) => service.complete(call("a b", "b")))
  testInterruptions("a stream", (service) => Stream.runDrain(service.stream(call("a b", "b"))))

  it.scoped("uses up its total time", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      yield* fork(service.complete(call("first")))
      const second = yield* fork(Effect.flip(service.complete(call("second", "a", { totalTimeout: "10 seconds" }))))
      const third = yield* fork(
        Effect.flip(Stream.runDrain(service.stream(call("third", "b", { totalTimeout: "5 seconds" }))))
      )

      yield* TestClock.adjust("5 seconds")
      const outside = yield* Fiber.join(third)
      assert.strictEqual(outside._tag, "TimeoutError")
      assert.strictEqual(outside.message, "The call was not admitted within 5s")

      yield* TestClock.adjust("5 seconds")
      const inside = yield* Fiber.join(second)
      assert.deepInclude(inside, { _tag: "TimeoutError", phase: "total" })
      assert.strictEqual(inside.message, "The server did not end its answer within 10s, 8s of them in the queue")
      assert.deepStrictEqual(yield* prompts, ["first", "second"])

      yield* fork(service.complete(call("fourth")))
      assert.deepStrictEqual(yield* prompts, ["first", "second", "fourth"])
    }).pipe(withScript(slow(8000))))

  it.scoped("does not use up the time to its first token", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      yield* fork(service.complete(call("first")))
      const second = yield* fork(service.complete(call("second", "a", { firstTokenTimeout: "10 seconds" })))
      yield* TestClock.adjust("16 seconds")
      assert.strictEqual((yield* Fiber.join(second)).text, "re second")
    }).pipe(withScript(slow(8000))))
})

describe("a limit whose scope closes", () => {
  it.scoped("interrupts waiting and later calls, and lets running calls continue", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const service = yield* Scope.extend(limited({ concurrency: 1 }), scope)
      const running = yield* fork(service.complete(call("running")))
      const waiting = yield* fork(service.complete(call("waiting")))

      yield* Scope.close(scope, Exit.void)
      const late = yield* fork(Stream.runDrain(service.stream(call("late"))))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(late)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(running)).text, "re running")
    }).pipe(withScript(slow(1000))))
})

describe("the settings of a limit", () => {
  for (const bad of [{ concurrency: 0 }, { requestsPerMinute: -1 }, { tokensPerMinute: 1.5 }, { concurrency: NaN }]) {
    const [field = ""] = Object.keys(bad)
    it.scoped(`are refused with the field and the rule: ${field} ${Object.values(bad).join()}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(limited(bad))
        assert.strictEqual(error._tag, "ParseError")
        assert.include(error.message, field)
      }).pipe(withScript([])))
  }

  it.scoped("limit nothing if they are absent", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: undefined })
      yield* fork(
        Effect.forEach(Array.from({ length: 300 }), () => service.complete(call("x")), { concurrency: "unbounded" })
      )
      assert.lengthOf(yield* prompts, 300)
    }).pipe(withScript(slow(1000))))
})

describe("conversations that share a limit", () => {
  it.scoped("are served in turn, one per chat", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      const [ada, bob] = yield* Effect.all([
        LLMChat.fromCompletions(service, options()),
        LLMChat.fromCompletions(service, options())
      ])
      yield* fork(Effect.forEach(["a0", "a1", "a2"], (text) => ada.ask(text), { concurrency: "unbounded" }))
      yield* fork(bob.chat("b0"))
      yield* fork(Stream.runDrain(bob.askStream("b1")))

      yield* TestClock.adjust("4 seconds")
      const prompts = (yield* requests).map((request) => sent(request).at(-1)?.replace("user: ", ""))
      assert.deepStrictEqual(prompts, ["a0", "a1", "b0", "a2", "b1"])
    }).pipe(withScript(slow(1000))))

  it.scoped("wait for each other, and each keeps its own history", () =>
    Effect.gen(function*() {
      const service = yield* limited({ concurrency: 1 })
      const chat = yield* LLMChat.fromCompletions(service, options())
      const manager = yield* ChatManager.fromCompletions(service, { config: options() })
      const [ada, bob] = yield* Effect.all([manager.getChat("ada"), manager.getChat("bob")])
      yield* fork(
        Effect.all([chat.chat("1"), ada.chat("2"), Stream.runDrain(bob.chatStream("3"))], { concurrency: "unbounded" })
      )

      assert.lengthOf(yield* requests, 1)
      yield* TestClock.adjust("3 seconds")
      for (const each of [chat, ada, bob]) assert.lengthOf(yield* each.history, 3)
    }).pipe(withScript(slow(1000))))
})

describe("limits of each conversation", () => {
  it.scoped("delay only a conversation that exceeds them", () =>
    Effect.gen(function*() {
      const service = yield* limited({ perConversation: { requestsPerMinute: 2 } })
      yield* fork(
        Effect.forEach([1, 2, 3, 4, 5], (n) => service.complete(call(`a${n}`, "a")), { concurrency: "unbounded" })
      )
      yield* fork(service.complete(call("b1", "b")))
      yield* fork(service.complete(call("alone")))

      assert.deepStrictEqual(yield* prompts, ["a1", "a2", "b1", "alone"])
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(yield* prompts, 4)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* prompts).slice(4), ["a3", "a4"])
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual((yield* prompts).slice(6), ["a5"])
    }).pipe(withScript(echo())))

  it.scoped("count the tokens that a call used", () =>
    Effect.gen(function*() {
      const service = yield* limited({ perConversation: { tokensPerMinute: 100 }, reserve: () => 60 })
      yield* service.complete(call("a1", "a"))
      const second = yield* fork(service.complete(call("a2", "a")))
      assert.deepStrictEqual(yield* prompts, ["a1", "a2"])
      yield* Fiber.join(second)
      yield* fork(service.complete(call("a3", "a")))
      yield* fork(service.complete(call("a4", "a")))
      assert.deepStrictEqual(yield* prompts, ["a1", "a2"])

      yield* TestClock.adjust("1 minute")

      assert.deepStrictEqual(yield* prompts, ["a1", "a2", "a3", "a4"])
    }).pipe(withScript((_, index) => answer("ok", { usage: usage(1, index === 1 ? 97 : 1) }))))

  it.scoped("let a call wait no longer than its total time, and release everything if it is interrupted", () =>
    Effect.gen(function*() {
      const service = yield* limited({ perConversation: { requestsPerMinute: 1 } })
      yield* service.complete(call("a1", "a"))
      const interrupted = yield* Effect.fork(service.complete(call("a2", "a")))
      const late = yield* fork(Effect.flip(service.complete(call("a3", "a", { totalTimeout: "10 seconds" }))))
      const next = yield* fork(service.complete(call("a4", "a")))

      yield* Fiber.interrupt(interrupted)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(late))._tag, "TimeoutError")
      yield* TestClock.adjust("50 seconds")
      yield* Fiber.join(next)

      assert.deepStrictEqual(yield* prompts, ["a1", "a4"])
    }).pipe(withScript(echo())))

  it.effect("interrupt waiting calls when the scope closes", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const service = yield* Scope.extend(limited({ perConversation: { requestsPerMinute: 1 } }), scope)
      yield* service.complete(call("a1", "a"))
      const waiting = yield* fork(
        Effect.forEach([2, 3], (n) => service.complete(call(`a${n}`, "a")), { concurrency: 2 })
      )

      yield* Scope.close(scope, Exit.void)

      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
      assert.deepStrictEqual(yield* prompts, ["a1"])
    }).pipe(withScript(echo())))
})
