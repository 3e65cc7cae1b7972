/**
 * The server for the conversation of every runtime, and the expected result.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { LocalServer } from "effect-chat/testing"
import { createServer } from "node:http"
import type { Report } from "./conversation.ts"

/** An HTTP server on loopback, on a free port. */
export const httpServer = NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })

/** Repeats the prompt. */
export const options: LocalServer.Options = {
  answer: ({ messages }) => `You said ${messages.at(-1)?.content ?? ""}`
}

/** A server that repeats the prompt. */
export const server = LocalServer.layer(options).pipe(Layer.provide(httpServer))

/** The history of the conversation whose last turn was stopped after this text. */
export const history = (stopped: string): ReadonlyArray<string> => [
  "system: S",
  "user: one",
  "assistant: You said one",
  "user: two",
  "assistant: You said two",
  "user: one two three four five six",
  `assistant: ${stopped}`
]

/** Asserts that the conversation has the expected result, and that the server has no active answer. */
export const assertRight = (report: Report) =>
  Effect.gen(function*() {
    const { activeAnswers } = yield* LocalServer.LocalServer
    const [stopped, reason] = report.stopped
    assert.strictEqual(report.chat, "You said one")
    assert.strictEqual(report.stream, "You said two")
    assert.strictEqual(reason, "interrupted")
    assert.isAbove(stopped.length, 0)
    assert.isTrue("You said one two three four five six".startsWith(stopped), stopped)
    assert.deepStrictEqual(report.history, history(stopped))
    // The server notices the closed connection a moment later.
    yield* Effect.repeat(activeAnswers, { until: (count) => count === 0 }).pipe(Effect.timeout("5 seconds"))
  })
