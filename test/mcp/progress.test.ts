import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Fiber, Logger, Stream } from "effect"
import { LLMChat } from "effect-chat"
import type { McpToolSet } from "effect-chat/mcp"
import { ScriptedHttpClient } from "effect-chat/testing"
import { setTimeout as wait } from "node:timers/promises"
import { call, make, resultOf, settle, textOf, tool } from "../support/mcp/fakeServer.ts"

const done = { content: [{ type: "text" as const, text: "done" }] }

/** A server with a tool that sends progress several times, each after a pause. */
const working = (times: number, pause: number, options: McpToolSet.Options) =>
  Effect.tap(make([tool("work")], options), ({ fake }) => {
    fake.answer = async (_name, { progress, signal }) => {
      for (let n = 1; n <= times && !signal.aborted; n++) {
        await wait(pause)
        await progress({ progress: n, total: times, message: `part ${n}` })
      }
      return done
    }
  })

describe("The progress of a call", () => {
  it.scopedLive("is received in order and before the result, with the tool and the call", () =>
    Effect.gen(function*() {
      const received: Array<McpToolSet.Progress> = []
      const { toolSet } = yield* working(3, 0, {
        prefix: "fs",
        // The receiver is slower than the server.
        onProgress: (progress) => Effect.delay(Effect.sync(() => void received.push(progress)), "10 millis")
      })
      const chat = yield* LLMChat.make({ baseUrl: "http://server/v1", model: "m" }).pipe(
        Effect.provide(ScriptedHttpClient.layer([call("fs_work"), ScriptedHttpClient.tokens(["ok"])]))
      )
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(
          Stream.map(chat.chatEvents("go", { toolSet }), (event) => ({ event, received: received.length }))
        )
      )
      const start = events.map(({ event }) => event).find((event) => event._tag === "ToolStart")
      const result = events.find(({ event }) => event._tag === "ToolResult")

      assert.deepStrictEqual(
        received.map(({ message, name, progress, total }) => ({ message, name, progress, total })),
        [1, 2, 3].map((n) => ({ message: `part ${n}`, name: "fs_work", progress: n, total: 3 }))
      )
      assert.strictEqual(result?.received, 3)
      assert.deepStrictEqual(new Set(received.map(({ callId }) => callId)), new Set([start?.callId]))
    }))

  it.scopedLive("is received after a defect of onProgress, which is logged and does not fail the call", () =>
    Effect.gen(function*() {
      const received: Array<number> = []
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => logged.push(`${logLevel.label} ${String(message)}`))
      const { toolSet } = yield* working(2, 0, {
        onProgress: ({ progress }) => {
          received.push(progress)
          throw new Error("broken")
        }
      })

      const text = textOf(
        yield* Effect.provide(resultOf(toolSet, "work"), Logger.replace(Logger.defaultLogger, logger))
      )

      assert.strictEqual(text, "done")
      assert.deepStrictEqual(received, [1, 2])
      assert.deepStrictEqual(
        logged,
        Array.from({ length: 2 }, () => "WARN onProgress of an MCP tool set failed,Error: broken")
      )
    }))

  it.scopedLive("ends when the turn is stopped, even during onProgress", () =>
    Effect.gen(function*() {
      let interrupted = 0
      const { fake, toolSet } = yield* working(2, 0, {
        onProgress: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => void interrupted++))
      })
      const chat = yield* LLMChat.make({ baseUrl: "http://server/v1", model: "m" }).pipe(
        Effect.provide(ScriptedHttpClient.layer([call("work")]))
      )
      const turn = yield* Effect.fork(chat.chat("go", { toolSet }))
      yield* Effect.repeat(settle, { until: () => fake.calls.length > 0 })
      yield* settle
      yield* chat.stop
      yield* Fiber.await(turn)

      assert.strictEqual(interrupted, 1)
    }))

  it.scopedLive("restarts the timeout of the call, even without onProgress", () =>
    Effect.gen(function*() {
      const { toolSet } = yield* working(5, 100, { timeout: "300 millis" })

      assert.strictEqual(textOf(yield* resultOf(toolSet, "work")), "done")
    }))

  it.scopedLive("does not restart maxTotalTimeout, after which the call is cancelled", () =>
    Effect.gen(function*() {
      const { fake, toolSet } = yield* working(1000, 20, { timeout: "10 seconds", maxTotalTimeout: "200 millis" })

      assert.include(textOf(yield* resultOf(toolSet, "work")), "did not answer in time")
      yield* settle
      assert.deepStrictEqual(fake.cancelled, ["The call was stopped"])
    }))
})

describe("A call without progress", () => {
  it.scopedLive("is cancelled after maxTotalTimeout, even before its timeout", () =>
    Effect.gen(function*() {
      const { fake, toolSet } = yield* make([tool("work")], { timeout: "10 seconds", maxTotalTimeout: "100 millis" })
      fake.answer = () => new Promise(() => {})

      assert.include(textOf(yield* resultOf(toolSet, "work")), "did not answer in time")
      yield* settle
      assert.deepStrictEqual(fake.cancelled, ["The call was stopped"])
    }))

  it.scopedLive("is not limited by infinite timeouts", () =>
    Effect.gen(function*() {
      const { fake, toolSet } = yield* make([tool("work")], {
        timeout: Duration.infinity,
        maxTotalTimeout: Duration.infinity,
        listTimeout: Duration.infinity
      })
      fake.answer = () => wait(50).then(() => done)

      assert.strictEqual(textOf(yield* resultOf(toolSet, "work")), "done")
      assert.deepStrictEqual(fake.cancelled, [])
    }))

  it.scopedLive("completes, and onProgress receives nothing", () =>
    Effect.gen(function*() {
      const received: Array<McpToolSet.Progress> = []
      const { toolSet } = yield* make([tool("work")], {
        onProgress: (progress) => Effect.sync(() => void received.push(progress))
      })

      assert.strictEqual(textOf(yield* resultOf(toolSet, "work")), "work is done")
      assert.deepStrictEqual(received, [])
    }))
})
