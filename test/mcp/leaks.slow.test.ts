import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Effect, Fiber, Supervisor } from "effect"
import { LLMChat, type ToolSet } from "effect-chat"
import { McpToolSet } from "effect-chat/mcp"
import { ScriptedHttpClient } from "effect-chat/testing"
import type { EventEmitter } from "node:events"
import { fileURLToPath } from "node:url"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { call, make, settle, tool } from "../support/mcp/fakeServer.ts"

const turns = 1000

setFlagsFromString("--expose_gc")
const collectGarbage: () => void = runInNewContext("gc")

/** The signals of requests that are not garbage-collected. The SDK never removes its listeners from them. */
const signalsOf = (client: Client) => {
  const signals: Array<WeakRef<AbortSignal>> = []
  const request = client.request.bind(client)
  client.request = (message, schema, options) => {
    if (options?.signal !== undefined) signals.push(new WeakRef(options.signal))
    return request(message, schema, options)
  }
  return { all: signals, kept: () => signals.filter((signal) => signal.deref() !== undefined).length }
}

/** The state of unfinished requests in the client of the SDK. */
const unfinished = (client: Client): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    ["_responseHandlers", "_progressHandlers", "_timeoutInfo"].map((name) => {
      const kept: unknown = Reflect.get(client, name)
      return [name, kept instanceof Map ? kept.size : "no Map"]
    })
  )

const none = { _responseHandlers: 0, _progressHandlers: 0, _timeoutInfo: 0 }

const resources = (kind: string) => process.getActiveResourcesInfo().filter((name) => name === kind).length

/** Runs turns with one call each, and counts the outcomes. Returns the resources that remain afterwards. */
const run = (
  toolSet: ToolSet.ToolSet,
  kinds: ReadonlyArray<string>,
  calls: () => number
) =>
  Effect.gen(function*() {
    const chat = yield* LLMChat.make({ baseUrl: "http://server/v1", model: "m" }).pipe(
      Effect.provide(ScriptedHttpClient.layer(({ text }) =>
        text.includes("\"role\":\"tool\"")
          ? ScriptedHttpClient.tokens(["ok"])
          : call(kinds.find((kind) => text.includes(`go ${kind}`)) ?? "none")
      ))
    )
    const outcomes: Record<string, number> = {}
    const turn = (kind: string) =>
      Effect.gen(function*() {
        const before = calls()
        const running = yield* Effect.fork(chat.chat(`go ${kind}`, { toolSet }))
        if (kind === "stopped") {
          yield* Effect.repeat(Effect.sleep("1 millis"), { until: () => calls() > before })
          yield* chat.stop
        }
        const { finishReason, steps = [] } = yield* Fiber.join(running)
        for (const { outcome } of steps.flatMap((step) => step.toolCalls)) {
          const ended = `${kind}: ${outcome}, ${finishReason}`
          outcomes[ended] = (outcomes[ended] ?? 0) + 1
        }
        yield* chat.clearHistory
      })
    const supervisor = yield* Supervisor.track
    const roots = (yield* Fiber.roots).length
    const timers = resources("Timeout")
    yield* Effect.supervised(
      Effect.forEach(Array.from({ length: turns }, (_, n) => kinds[n % kinds.length] ?? ""), turn, { discard: true }),
      supervisor
    )
    yield* settle
    collectGarbage()
    return {
      outcomes,
      left: {
        fibers: (yield* supervisor.value).length,
        roots: (yield* Fiber.roots).length - roots,
        timers: Math.max(0, resources("Timeout") - timers)
      }
    }
  })

describe("A thousand turns with the tools of a client", () => {
  it.scopedLive("leave no listener, timer, fiber or unfinished request", () =>
    Effect.gen(function*() {
      const kinds = ["failing", "throwing", "slow", "stopped", ...Array.from({ length: 6 }, () => "done")]
      const { client, fake, toolSet } = yield* make([...new Set(kinds)].map((name) => tool(name)), {
        timeout: "20 millis",
        onProgress: () => Effect.void
      })
      fake.answer = async (name, { progress }) => {
        await progress({ progress: 1 })
        if (name === "throwing") throw new Error("broken")
        if (name === "slow" || name === "stopped") await new Promise(() => {})
        return { content: [{ type: "text", text: name }], isError: name === "failing" }
      }
      const signals = signalsOf(client)

      const { left, outcomes } = yield* run(toolSet, kinds, () => fake.calls.length)

      assert.deepStrictEqual(outcomes, {
        "done: success, stop": 600,
        "failing: failure, stop": 100,
        "throwing: failure, stop": 100,
        "slow: failure, stop": 100,
        "stopped: unknown, interrupted": 100
      })
      assert.deepStrictEqual(left, { fibers: 0, roots: 0, timers: 0 })
      assert.deepStrictEqual(unfinished(client), none)
      assert.lengthOf(signals.all, turns)
      // The last signal can still be on the stack.
      assert.isAtMost(signals.kept(), 1)
    }), 120_000)

  it.live("of a server over stdio leave no child and no listener on its pipes", () =>
    Effect.gen(function*() {
      const children = resources("ProcessWrap")
      const { client, listeners } = yield* Effect.scoped(Effect.gen(function*() {
        const server = fileURLToPath(new URL("../support/mcp/stdioServer.ts", import.meta.url))
        const transport = new StdioClientTransport({
          command: process.execPath,
          args: ["--import", "tsx", server],
          stderr: "ignore"
        })
        const client = new Client({ name: "test", version: "1.0.0" })
        yield* Effect.promise(() => client.connect(transport))
        const pipes = () => {
          const child: { readonly stdin: EventEmitter; readonly stdout: EventEmitter } = Reflect.get(
            transport,
            "_process"
          )
          return [child.stdin, child.stdout].map((pipe) =>
            pipe.eventNames().reduce((sum, name) => sum + pipe.listenerCount(name), 0)
          )
        }
        const toolSet = yield* McpToolSet.fromClient(client, { needsApproval: false })
        const before = pipes()
        const signals = signalsOf(client)

        const { left, outcomes } = yield* run(toolSet, ["pid"], () => 0)

        assert.deepStrictEqual(outcomes, { "pid: success, stop": turns })
        assert.deepStrictEqual(left, { fibers: 0, roots: 0, timers: 0 })
        assert.isAtMost(signals.kept(), 1)
        assert.strictEqual(resources("ProcessWrap"), children + 1)
        return { client, listeners: { before, after: pipes() } }
      }))

      assert.deepStrictEqual(listeners.after, listeners.before)
      assert.deepStrictEqual(unfinished(client), none)
      // The handle of an exited child closes a little later.
      yield* settle
      assert.strictEqual(resources("ProcessWrap"), children)
    }), 120_000)
})
