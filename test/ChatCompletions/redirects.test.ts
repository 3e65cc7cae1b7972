import { FetchHttpClient, HttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { ChatCompletions, type ChatError } from "effect-chat"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { type Asking, collect } from "../support/wire/ask.ts"
import { done, says } from "../support/wire/say.ts"

const clients = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layer
}

const key = "sk-secret-1234"

interface RecordingServer {
  readonly url: string
  readonly headers: () => ReadonlyArray<IncomingHttpHeaders>
}

/** A server that answers completely, or redirects all requests. It records the headers of its requests. */
const server = (redirect?: { readonly status: number; readonly location: string }) =>
  Effect.acquireRelease(
    Effect.async<RecordingServer & { readonly close: () => void }>((resume) => {
      const received: Array<IncomingHttpHeaders> = []
      const http = createServer((request, response) => {
        received.push(request.headers)
        request.resume().on("end", () => {
          if (redirect === undefined) {
            response.writeHead(200, { "content-type": "text/event-stream" }).end(says("stolen") + done)
          } else {
            response.writeHead(redirect.status, { location: redirect.location }).end()
          }
        })
      })
      http.listen(0, "127.0.0.1", () => {
        const { port } = http.address() as AddressInfo
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}/v1`,
          headers: () => received,
          close: () => {
            http.closeAllConnections()
            http.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

/** A server that redirects twice within its origin, and records its requests. */
const redirectingTwice = (status: number) =>
  Effect.acquireRelease(
    Effect.async<
      RecordingServer & {
        readonly paths: () => ReadonlyArray<string | undefined>
        readonly bodies: () => ReadonlyArray<string>
        readonly close: () => void
      }
    >((resume) => {
      const received: Array<IncomingHttpHeaders> = []
      const paths: Array<string | undefined> = []
      const bodies: Array<string> = []
      const targets: Readonly<Record<string, string>> = {
        "/v1/chat/completions": "/moved?a=1&b=2#part",
        "/moved?a=1&b=2": "v2/chat/"
      }
      const http = createServer((request, response) => {
        let body = ""
        received.push(request.headers)
        paths.push(request.url)
        request.setEncoding("utf8").on("data", (text: string) => body += text).on("end", () => {
          bodies.push(body)
          const location = targets[request.url ?? ""]
          if (location === undefined) {
            response.writeHead(200, { "content-type": "text/event-stream" }).end(says("here") + done)
          } else response.writeHead(status, { location }).end("moved")
        })
      })
      http.listen(0, "127.0.0.1", () => {
        const { port } = http.address() as AddressInfo
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}/v1`,
          headers: () => received,
          paths: () => paths,
          bodies: () => bodies,
          close: () => {
            http.closeAllConnections()
            http.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const keys: Readonly<Record<string, Asking>> = {
  "the Authorization header": { config: { apiKey: key } },
  "the api-key header": { config: { apiKey: key }, wire: { authHeader: "api-key" } },
  "a custom header": { config: { headers: { "x-token": Redacted.make(key) } } }
}

describe("redirects", () => {
  for (const [client, layer] of Object.entries(clients)) {
    for (const [name, asking] of Object.entries(keys)) {
      for (const status of [301, 302, 303, 307, 308]) {
        it.live(`${client} sends ${name} to no other origin after a ${status}`, () =>
          Effect.gen(function*() {
            const other = yield* server()
            const target = `${other.url}/chat/completions`
            const redirecting = yield* server({ status, location: target })
            const { outcome } = yield* collect({
              ...asking,
              config: { ...asking.config, baseUrl: redirecting.url }
            })
            assert.lengthOf(redirecting.headers(), 1)
            assert.include(JSON.stringify(redirecting.headers()), key, "the server that was asked has the key")
            assert.notInclude(JSON.stringify(other.headers()), key)
            if (outcome._tag === "Right") return assert.fail("the answer of another server")
            assert.notInclude(JSON.stringify(outcome.left), key)
            assert.lengthOf(other.headers(), 0, "the prompt goes to no other origin either")
            assert.strictEqual(outcome.left._tag, "InvalidRequestError")
            assert.include(outcome.left.message, target)
          }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(layer)))))
      }
    }
  }

  it.live("no client follows a redirect to another origin if there are secrets besides Authorization", () =>
    Effect.forEach(Object.values(clients), (layer) =>
      Effect.gen(function*() {
        const other = yield* server()
        const redirecting = yield* server({ status: 307, location: `${other.url}/chat/completions` })
        const { outcome } = yield* collect({
          config: { baseUrl: redirecting.url, apiKey: key },
          wire: { authHeader: "api-key" }
        })
        assert.strictEqual(outcome._tag, "Left")
        assert.lengthOf(other.headers(), 0)
      }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(layer))))))

  for (const [client, layer] of Object.entries(clients)) {
    for (const [name, asking] of Object.entries(keys)) {
      for (const status of [307, 308]) {
        it.live(`${client} follows a ${status} on the same origin with the body and ${name}`, () =>
          Effect.gen(function*() {
            const redirecting = yield* redirectingTwice(status)
            const { outcome } = yield* collect({ ...asking, config: { ...asking.config, baseUrl: redirecting.url } })
            assert.strictEqual(outcome._tag === "Right" ? outcome.right.text : outcome.left.message, "here")
            assert.deepStrictEqual(redirecting.paths(), ["/v1/chat/completions", "/moved?a=1&b=2", "/v2/chat/"])
            assert.lengthOf(new Set(redirecting.bodies()), 1)
            assert.include(redirecting.bodies()[0], "\"hi\"")
            for (const headers of redirecting.headers()) assert.include(JSON.stringify(headers), key)
          }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(layer)))))
      }
    }

    it.live(`${client} follows at most five redirects and then fails with a clear error`, () =>
      Effect.gen(function*() {
        const redirecting = yield* server({ status: 307, location: "/v1/round" })
        const { outcome } = yield* collect({ config: { baseUrl: redirecting.url, apiKey: key, maxRetries: 2 } })
        assert.lengthOf(redirecting.headers(), 6)
        if (outcome._tag === "Right") return assert.fail("an answer")
        assert.strictEqual(outcome.left._tag, "InvalidRequestError")
        assert.include(outcome.left.message, "redirects too often, the last time to /v1/round")
      }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(layer)))))

    for (const location of ["http://ada:hunter2@HOST/v2", "http://[", "https://HOST/v1"]) {
      it.live(`${client} does not follow to ${location}`, () =>
        Effect.gen(function*() {
          const target = { status: 308, location: "" }
          const redirecting = yield* server(target)
          target.location = location.replace("HOST", new URL(redirecting.url).host)
          const { outcome } = yield* collect({ config: { baseUrl: redirecting.url, apiKey: key } })
          assert.lengthOf(redirecting.headers(), 1)
          assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "InvalidRequestError")
        }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(layer)))))
    }
  }

  it.live("a redirect whose target the platform hides is a clear error", () =>
    Effect.gen(function*() {
      const opaque = Object.defineProperties(new Response(null), {
        type: { value: "opaqueredirect" },
        status: { value: 0 }
      })
      const { outcome } = yield* collect({ config: { apiKey: key } }).pipe(
        Effect.provideService(FetchHttpClient.Fetch, () => Promise.resolve(opaque))
      )
      if (outcome._tag === "Right") return assert.fail("an answer")
      assert.strictEqual(outcome.left._tag, "InvalidRequestError")
      assert.include(outcome.left.message, "redirects")
      assert.isUndefined(outcome.left.status)
    }).pipe(Effect.provide(ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer)))))

  it.live("options of fetch in the client's layer apply only there", () =>
    Effect.gen(function*() {
      const inits: Array<RequestInit | undefined> = []
      const spy: typeof globalThis.fetch = (_url, init) => {
        inits.push(init)
        return Promise.resolve(new Response(says("a") + done))
      }
      const init = Layer.succeed(FetchHttpClient.RequestInit, { credentials: "include" })
      const client = FetchHttpClient.layer.pipe(Layer.provide([init, Layer.succeed(FetchHttpClient.Fetch, spy)]))
      yield* collect({ config: { apiKey: key } }).pipe(
        Effect.provide(ChatCompletions.layer.pipe(Layer.provide(client)))
      )
      assert.strictEqual(inits[0]?.credentials, "include")
      assert.strictEqual(inits[0]?.redirect, "manual")
      assert.isTrue(Option.isNone(yield* Effect.serviceOption(FetchHttpClient.RequestInit)))
    }))

  it.live("options of fetch around the call apply", () =>
    Effect.gen(function*() {
      const inits: Array<RequestInit | undefined> = []
      const spy: typeof globalThis.fetch = (_url, init) => {
        inits.push(init)
        return Promise.resolve(new Response(says("a") + done))
      }
      yield* collect({ config: { apiKey: key }, wire: { authHeader: "api-key" } }).pipe(
        Effect.provideService(FetchHttpClient.RequestInit, { credentials: "include" }),
        Effect.provideService(FetchHttpClient.Fetch, spy)
      )
      assert.strictEqual(inits[0]?.credentials, "include")
      assert.strictEqual(inits[0]?.redirect, "manual")
    }).pipe(Effect.provide(ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer)))))

  it.live("a redirect without a target is a clear error", () =>
    Effect.gen(function*() {
      const redirecting = yield* server({ status: 308, location: "" })
      const { outcome } = yield* collect({ config: { baseUrl: redirecting.url } })
      const error: ChatError.ChatError | undefined = outcome._tag === "Left" ? outcome.left : undefined
      assert.strictEqual(error?._tag, "InvalidRequestError")
    }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(NodeHttpClient.layerUndici)))))

  it.live("a client with filterStatusOk still gives the error of the server", () =>
    Effect.gen(function*() {
      const strict = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, HttpClient.filterStatusOk))
      const fetch: typeof globalThis.fetch = () =>
        Promise.resolve(new Response("{\"error\":{\"message\":\"no such model\"}}", { status: 404 }))
      const { outcome } = yield* collect().pipe(
        Effect.provide(ChatCompletions.layer.pipe(Layer.provide(strict), Layer.provide(FetchHttpClient.layer))),
        Effect.provideService(FetchHttpClient.Fetch, fetch)
      )
      const error = outcome._tag === "Left" ? outcome.left : undefined
      assert.strictEqual(error?._tag, "NotFoundError")
      assert.strictEqual(error?.message, "no such model")
    }))
})
