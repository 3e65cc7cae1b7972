import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream, TestClock } from "effect"
import { ChatManager, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"

const config = LLMConfig.make({ baseUrl: "http://server/v1" })

const slow = ScriptedHttpClient.layer(
  [ScriptedHttpClient.tokens(["one ", "two ", "three"], { delay: "1 second" })],
  { repeatLast: true }
)

const closing = (grace: string) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const manager = yield* Scope.extend(
      ChatManager.make({ config, grace: grace === "none" ? 0 : "10 seconds" }),
      scope
    )
    const chat = yield* manager.getChat("ada")
    const turn = yield* Effect.fork(Stream.runCollect(chat.chatEvents("count")))
    yield* TestClock.adjust("1500 millis")
    const close = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("10 seconds")
    yield* Fiber.join(close)
    const last = Array.from(yield* Fiber.join(turn)).at(-1)
    return last?._tag === "Finish" ? last : undefined
  })

describe("Closing the scope of a manager", () => {
  it.effect("interrupts the running turns", () =>
    Effect.gen(function*() {
      const finish = yield* closing("none")

      assert.strictEqual(finish?.reason, "interrupted")
      assert.strictEqual(finish?.response.text, "one ")
    }).pipe(Effect.provide(slow)))

  it.effect("lets running turns complete within the grace", () =>
    Effect.gen(function*() {
      const finish = yield* closing("ten seconds")

      assert.strictEqual(finish?.reason, "stop")
      assert.strictEqual(finish?.response.text, "one two three")
    }).pipe(Effect.provide(slow)))

  for (const form of ["complete", "streamed"] as const) {
    it.effect(`interrupts all callers of a waiting turn with an id (${form})`, () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const manager = yield* Scope.extend(ChatManager.make({ config }), scope)
        const chat = yield* manager.getChat("ada")
        const ask = form === "complete"
          ? chat.chat("waits", { turnId: "t" })
          : Stream.runDrain(chat.chatStream("waits", { turnId: "t" }))
        yield* Effect.fork(Stream.runDrain(chat.chatStream("runs")))
        yield* TestClock.adjust("500 millis")
        const callers = [yield* Effect.fork(ask), yield* Effect.fork(ask)]
        yield* TestClock.adjust("500 millis")

        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("1 minute")

        for (const caller of callers) {
          const exit = yield* Fiber.poll(caller)
          assert.isTrue(Option.isSome(exit) && Exit.isInterrupted(exit.value))
        }
      }).pipe(Effect.provide(slow)))
  }
})
