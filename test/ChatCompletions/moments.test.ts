/**
 * Time limits, stops and interruptions between the arrival of data and the next step of its reader.
 */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, Stream } from "effect"
import { type ChatCompletions, LLMConfig } from "effect-chat"
import { Readable } from "node:stream"
import * as Completion from "../../src/internal/transport/completion.ts"
import { toPull } from "../../src/internal/transport/stream.ts"

const textEvent = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`
const finishEvent = `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`
const done = "data: [DONE]\n\n"
const completion = JSON.stringify({ choices: [{ index: 0, message: { content: "Hello" }, finish_reason: "stop" }] })

const request = {
  config: LLMConfig.make({ baseUrl: "http://127.0.0.1/v1", totalTimeout: "1 second" }),
  messages: [{ role: "user" as const, content: "Hi" }]
}

/** A completions service whose responses have this stream as their body, as those of `NodeHttpClient`. */
const completionsWith = (body: Readable) =>
  Completion.make(HttpClient.make((request) =>
    Effect.succeed(
      Object.assign(Object.create(HttpClientResponse.fromWeb(request, new Response())), { source: { body } })
    )
  ))

/** A Clock whose time passes and whose sleeps end only by `pass`, which can be called synchronously at any time. */
const makeClock = () => {
  let now = 0
  const wakes: Array<() => void> = []
  const clock: Clock.Clock = Object.assign(Object.create(Clock.make()), {
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
    sleep: () => Effect.async<void>((resume) => void wakes.push(() => resume(Effect.void)))
  })
  const pass = (millis: number) => {
    now += millis
    for (const wake of wakes.splice(0)) wake()
  }
  return { clock, pass }
}

/** Waits until Node's streams and Effect's fibers have processed all data. */
const settle = Effect.sleep("20 millis")

/** Collects short descriptions of the events. */
const collect = (service: ChatCompletions.Service, emitted: Array<string>) =>
  Stream.runForEach(service.stream(request), (event) =>
    Effect.sync(() => {
      if (event._tag === "TextDelta") emitted.push(event.text)
      if (event._tag === "Finish") emitted.push(`${event.reason}: ${event.response.text}`)
    }))

describe("a limit that expires while a delta arrives", () => {
  const cases: ReadonlyArray<readonly [name: string, last: string, emitted: ReadonlyArray<string>, failure: boolean]> =
    [
      [
        "emits the complete answer if the delta was its end",
        textEvent("lo") + finishEvent + done,
        ["Hel", "lo", "stop: Hello"],
        false
      ],
      [
        "emits the complete answer also without [DONE]",
        textEvent("lo") + finishEvent,
        ["Hel", "lo", "stop: Hello"],
        false
      ],
      ["emits the delta, then the TimeoutError", textEvent("lo"), ["Hel", "lo"], true]
    ]
  for (const [name, last, expected, failure] of cases) {
    it.live(name, () =>
      Effect.gen(function*() {
        const { clock, pass } = makeClock()
        const body = new Readable({ read: () => {} })
        const emitted: Array<string> = []
        const fiber = yield* Effect.fork(Effect.withClock(collect(completionsWith(body), emitted), clock))
        yield* settle
        body.push(textEvent("Hel"))
        yield* settle
        body.prependListener("readable", () => pass(1000))
        body.push(last)
        const exit = yield* Fiber.await(fiber)
        assert.deepStrictEqual(emitted, expected)
        assert.strictEqual(
          Exit.isFailure(exit) ? Cause.pretty(exit.cause).split(":")[0] : "ends well",
          failure ? "TimeoutError" : "ends well"
        )
      }))
  }

  it.live("returns a document that was complete", () =>
    Effect.gen(function*() {
      const { clock, pass } = makeClock()
      const body = new Readable({ read: () => {} })
      const fiber = yield* Effect.fork(Effect.withClock(completionsWith(body).complete(request), clock))
      yield* settle
      body.push(textEvent("Hel"))
      yield* settle
      body.prependListener("readable", () => pass(1000))
      body.push(textEvent("lo") + finishEvent + done)
      assert.strictEqual((yield* Fiber.join(fiber)).text, "Hello")
    }))
})

describe("a stop while the last delta arrives", () => {
  it.live("closes the connection with the scope of the call", () =>
    Effect.gen(function*() {
      const body = new Readable({ read: () => {} })
      const controller = new AbortController()
      const { signal } = controller
      yield* Effect.scopedWith((scope) =>
        Effect.gen(function*() {
          const pull = toPull(completionsWith(body).stream({ ...request, signal }), scope, signal)
          const reader = yield* Effect.fork(Effect.flip(Effect.forever(pull)))
          yield* settle
          body.push(textEvent("Hel"))
          yield* settle
          body.on("readable", () => controller.abort())
          body.push(textEvent("lo") + finishEvent + done)
          yield* Fiber.join(reader)
        })
      )
      assert.isTrue(body.destroyed)
    }))
})

describe("a consumer that is interrupted while a delta arrives", () => {
  it.live("leaves no connection open", () =>
    Effect.gen(function*() {
      const body = new Readable({ read: () => {} })
      const fiber = yield* Effect.fork(Stream.runDrain(completionsWith(body).stream(request)))
      yield* settle
      body.push(textEvent("Hel"))
      yield* settle
      body.on("readable", () => fiber.unsafeInterruptAsFork(fiber.id()))
      body.push(textEvent("lo"))
      yield* Fiber.await(fiber)
      yield* settle
      assert.isTrue(body.destroyed)
    }))
})

describe("a body that is available at once, in many chunks", () => {
  const count = 20_000
  const read = (chunks: ReadonlyArray<string>) => Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
  const keepAlives = Array.from({ length: count }, () => ": keep-alive\n\n")

  it.live("is read to its end if most of them are empty", () =>
    Effect.gen(function*() {
      const emitted: Array<string> = []
      yield* collect(completionsWith(read([...keepAlives, textEvent("Hello"), finishEvent, done])), emitted)
      assert.deepStrictEqual(emitted, ["Hello", "stop: Hello"])
    }))

  it.live("is read to its end if they are parts of one document", () =>
    Effect.gen(function*() {
      const spaced = completion.replace("Hello", " ".repeat(count) + "Hello")
      const { text } = yield* completionsWith(read(spaced.match(/.{1,2}/g) ?? [])).complete(request)
      assert.strictEqual(text.trim(), "Hello")
    }))

  it.live("is released if they come after the end", () =>
    Effect.gen(function*() {
      const emitted: Array<string> = []
      yield* collect(completionsWith(read([textEvent("Hello"), finishEvent, done, ...keepAlives])), emitted)
      assert.deepStrictEqual(emitted, ["Hello", "stop: Hello"])
    }))
})
