/**
 * Faults of a script: connections that are refused, reset or silent. `ScriptedHttpClient` exports all of this module.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as ScriptedClient from "./internal/scriptedClient.ts"
import type { Fault, ScriptedResponse } from "./Script.ts"

/**
 * The client whose error a fault imitates. `node` (default): the error of `NodeHttpClient`, with `code`, `errno` and
 * `syscall`. `fetch`: the error of `FetchHttpClient`, a `TypeError` whose `cause` is such an error.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorShape = "node" | "fetch"

/**
 * A step of a body: the server resets the connection. The body fails with a `ResponseError` with the reason `Decode`, as in
 * every client of `@effect/platform`. Its cause has `code: "ECONNRESET"`, the message (default `read ECONNRESET`) and the
 * shape `as`.
 *
 * @example
 * import { Effect, Stream } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const error = yield* Effect.flip(Stream.runDrain(chat.chatStream("Hi")))
 *   assert.deepStrictEqual([error._tag, error.partial?.text], ["TransportError", "Hello"])
 * })
 *
 * const script = [ScriptedHttpClient.tokens(["Hel", "lo"], { ending: ScriptedHttpClient.reset() })]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const reset = (message = "read ECONNRESET", options?: { readonly as?: ErrorShape | undefined }): Fault => {
  const cause = ScriptedClient.systemError(message, "ECONNRESET", "read")
  return { _tag: "Reset", cause: options?.as === "fetch" ? new TypeError("terminated", { cause }) : cause }
}

/**
 * The last step of a body that stays open without further bytes.
 *
 * @example
 * import { Effect, Fiber, TestClock, TestContext } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const fiber = yield* Effect.fork(Effect.flip(chat.chat("Hi")))
 *   yield* TestClock.adjust("1 minute")
 *   const error = yield* Fiber.join(fiber)
 *   assert.deepStrictEqual([error._tag, error.partial?.text], ["TimeoutError", "Hello"])
 * })
 *
 * const script = [ScriptedHttpClient.tokens(["Hel", "lo"], { ending: ScriptedHttpClient.never })]
 *
 * Effect.runPromise(program.pipe(
 *   Effect.provide(ScriptedHttpClient.layer(script)),
 *   Effect.provide(TestContext.TestContext)
 * ))
 *
 * @since 0.1.0
 * @category constructors
 */
export const never: Fault = { _tag: "Never" }

/**
 * A failed connection: the request fails with a `RequestError` with the reason `Transport`. Its cause has `code` (default
 * `ECONNREFUSED`), `syscall`, the message and the shape `as`; or it is the given `cause`.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const error = yield* Effect.flip(chat.ask("Hi"))
 *   assert.strictEqual(error._tag, "TransportError")
 * })
 *
 * const script = [ScriptedHttpClient.connectionError({ code: "ENOTFOUND" })]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const connectionError = (options?: {
  readonly code?: string | undefined
  readonly message?: string | undefined
  readonly as?: ErrorShape | undefined
  readonly cause?: unknown
}): ScriptedResponse => {
  const code = options?.code ?? "ECONNREFUSED"
  const syscall = code === "ENOTFOUND" || code === "EAI_AGAIN" ? "getaddrinfo" : "connect"
  const error = ScriptedClient.systemError(options?.message ?? `${syscall} ${code}`, code, syscall)
  const cause = options?.cause ?? (options?.as === "fetch" ? new TypeError("fetch failed", { cause: error }) : error)
  return { _tag: "ConnectionError", cause }
}

/**
 * The response, or failure, after a delay: late headers. With `Duration.infinity`, the server never answers.
 *
 * @example
 * import { Effect, Fiber, TestClock, TestContext } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const fiber = yield* Effect.fork(chat.ask("Hi"))
 *   yield* TestClock.adjust("2 minutes")
 *   const { text } = yield* Fiber.join(fiber)
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const script = [ScriptedHttpClient.delayed("2 minutes", ScriptedHttpClient.tokens(["Hello!"]))]
 *
 * Effect.runPromise(program.pipe(
 *   Effect.provide(ScriptedHttpClient.layer(script)),
 *   Effect.provide(TestContext.TestContext)
 * ))
 *
 * @since 0.1.0
 * @category constructors
 */
export const delayed = (duration: Duration.DurationInput, response: ScriptedResponse): ScriptedResponse => ({
  _tag: "Delayed",
  duration: Duration.decode(duration),
  response
})
