import { FetchHttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { ChatCompletions } from "effect-chat"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import { type Asking, collect } from "../support/wire/ask.ts"
import { done, ends, says } from "../support/wire/say.ts"

const provideFetch = Effect.provide(ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer)))

/** How long the server waits, in milliseconds. undici checks its timers every second. */
const silence = 2_500

const slowServer = (silentPart: "beforeHead" | "withinBody") =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
      const http = createServer((request, response) => {
        const answer = async (): Promise<void> => {
          if (silentPart === "beforeHead") await delay(silence)
          response.writeHead(200, { "content-type": "text/event-stream" })
          response.write(says("slow"))
          if (silentPart === "withinBody") await delay(silence)
          response.end(ends() + done)
        }
        request.resume().on("end", () => void answer())
      })
      http.listen(0, "127.0.0.1", () => {
        const { port } = http.address() as AddressInfo
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}/v1`,
          close: () => {
            http.closeAllConnections()
            http.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** A dispatcher for Node's `fetch` with much shorter limits than the default one. */
const shortTimeouts = Effect.gen(function*() {
  yield* Effect.promise(() => fetch("data:,x"))
  const dispatcher = (version: number) => Reflect.get(globalThis, Symbol.for(`undici.globalDispatcher.${version}`))
  const { constructor } = dispatcher(2) ?? dispatcher(1)
  return Reflect.construct(constructor, [{ headersTimeout: 500, bodyTimeout: 500 }])
})

const ask = (silentPart: "beforeHead" | "withinBody", asking: Asking) =>
  Effect.gen(function*() {
    const { url } = yield* slowServer(silentPart)
    const noInit: RequestInit = {}
    const init = Object.assign(noInit, { dispatcher: yield* shortTimeouts })
    const { outcome } = yield* collect({ ...asking, config: { ...asking.config, baseUrl: url } }).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, init)
    )
    return outcome
  }).pipe(Effect.scoped, provideFetch)

const inits = (asking: Asking) =>
  Effect.gen(function*() {
    const inits: Array<RequestInit | undefined> = []
    const spy: typeof globalThis.fetch = (_url, init) => {
      inits.push(init)
      return Promise.resolve(new Response(says("a") + done))
    }
    yield* collect(asking).pipe(Effect.provideService(FetchHttpClient.Fetch, spy))
    return inits
  }).pipe(provideFetch)

/** The error of a fetch that exceeded its own limit. */
const fetchTimeoutError = (code: string) =>
  new TypeError("fetch failed", { cause: Object.assign(new Error("Timeout"), { code }) })

describe("the limits of fetch itself", () => {
  it.live("do not apply if those of the config are longer", () =>
    Effect.gen(function*() {
      const config = { firstTokenTimeout: "10 minutes", idleTimeout: "10 minutes" } as const
      const outcomes = yield* Effect.all([ask("beforeHead", { config }), ask("withinBody", { config })], {
        concurrency: 2
      })
      for (const outcome of outcomes) {
        assert.strictEqual(outcome._tag === "Right" ? outcome.right.text : outcome.left.message, "slow")
      }
    }), 20_000)

  it.live("apply if those of the config are shorter than the defaults of fetch", () =>
    Effect.map(
      ask("beforeHead", { config: { firstTokenTimeout: "1 minute", idleTimeout: "1 minute" } }),
      (outcome) => assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "TimeoutError")
    ), 20_000)

  it.effect("stay unchanged if the config's are shorter", () =>
    Effect.map(
      inits({ config: { firstTokenTimeout: "1 minute" } }),
      ([init]) => assert.notProperty(init, "dispatcher")
    ))

  it.effect("are lifted for firstTokenTimeout and for idleTimeout", () =>
    Effect.gen(function*() {
      const configs: ReadonlyArray<Asking["config"]> = [
        { firstTokenTimeout: "6 minutes" },
        { firstTokenTimeout: "1 minute", idleTimeout: Duration.infinity }
      ]
      for (const config of configs) {
        const [init] = yield* inits({ config })
        assert.property(init, "dispatcher")
      }
    }))

  it.effect("are a TimeoutError that names them and a client without them, and are not retried", () =>
    Effect.gen(function*() {
      let calls = 0
      const { outcome } = yield* collect({ config: { maxRetries: 2 } }).pipe(
        Effect.provideService(FetchHttpClient.Fetch, () => {
          calls++
          return Promise.reject(fetchTimeoutError("UND_ERR_HEADERS_TIMEOUT"))
        })
      )
      if (outcome._tag === "Right" || outcome.left._tag !== "TimeoutError") return assert.fail("no TimeoutError")
      assert.include(outcome.left.message, "300 seconds")
      assert.include(outcome.left.message, "NodeHttpClient.layerUndici")
      assert.strictEqual(outcome.left.phase, "firstToken")
      assert.strictEqual(Duration.toSeconds(outcome.left.limit), 300)
      assert.strictEqual(calls, 1)
    }).pipe(provideFetch))

  it.effect("are a TimeoutError with the part that arrived if they expire within an answer", () =>
    Effect.gen(function*() {
      let isFirst = true
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          if (isFirst) controller.enqueue(new TextEncoder().encode(says("half")))
          else controller.error(fetchTimeoutError("UND_ERR_BODY_TIMEOUT"))
          isFirst = false
        }
      })
      const { outcome } = yield* collect().pipe(
        Effect.provideService(FetchHttpClient.Fetch, () => Promise.resolve(new Response(body)))
      )
      if (outcome._tag === "Right" || outcome.left._tag !== "TimeoutError") return assert.fail("no TimeoutError")
      assert.strictEqual(outcome.left.phase, "idle")
      assert.strictEqual(outcome.left.partial?.text, "half")
    }).pipe(provideFetch))
})
