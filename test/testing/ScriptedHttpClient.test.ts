import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Exit, Fiber, Inspectable, Option, Schedule, Stream, TestClock } from "effect"
import { ScriptedHttpClient } from "effect-chat/testing"
import * as Net from "node:net"

const url = "http://scripted.test/v1/chat/completions"
const script = ScriptedHttpClient.ScriptedHttpClient

const { bytes, delay, json, layer, never, reset, sse, text, tokens } = ScriptedHttpClient

const readText = Effect.flatMap(HttpClient.get(url), (response) => response.text)

/** The reads of a body, decoded one by one. */
const reads = Effect.flatMap(HttpClient.get(url), (response) =>
  response.stream.pipe(
    Stream.chunks,
    Stream.filter(Chunk.isNonEmpty),
    Stream.map((chunk) => Array.from(chunk, (part) => new TextDecoder().decode(part)).join("|")),
    Stream.runCollect,
    Effect.map(Chunk.toReadonlyArray)
  ))

const open = Effect.flatMap(script, (service) => service.openBodies)
const unread = Effect.flatMap(script, (service) => service.unreadBodies)
const pending = Effect.flatMap(script, (service) => service.pendingRequests)
const remaining = Effect.flatMap(script, (service) => service.remaining)

describe("ScriptedHttpClient", () => {
  describe("the script", () => {
    it.effect("returns its responses in order", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* remaining, 2)
        assert.strictEqual(yield* readText, "one")
        assert.strictEqual(yield* remaining, 1)
        assert.strictEqual(yield* readText, "two")
        assert.strictEqual(yield* remaining, 0)
      }).pipe(Effect.provide(layer([text("one"), text("two")]))))

    it.effect("fails a request that it has no response for with an error that names it and that nothing retries", () =>
      Effect.gen(function*() {
        yield* readText
        const error = yield* Effect.flip(readText)
        assert.strictEqual(error._tag, "RequestError")
        assert.strictEqual(error.reason, "Encode")
        assert.include(error.message, "no scripted response for request 2, the script has 1")
        assert.include(error.message, `GET ${url}`)
        const client = HttpClient.retryTransient(yield* HttpClient.HttpClient, { times: 3 })
        yield* Effect.flip(client.get(url))
        assert.lengthOf(yield* Effect.flatMap(script, (service) => service.requests), 3)
      }).pipe(Effect.provide(layer([text("one")]))))

    it.effect("repeats its last response with repeatLast", () =>
      Effect.gen(function*() {
        const texts = yield* Effect.replicateEffect(readText, 4)
        assert.deepStrictEqual(Array.from(texts), ["one", "two", "two", "two"])
        assert.strictEqual(yield* remaining, 0)
      }).pipe(Effect.provide(layer([text("one"), text("two")], { repeatLast: true }))))

    it.effect("may be a function of the request and its index", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* readText, "GET 0")
        assert.strictEqual(yield* readText, "GET 1")
        assert.strictEqual(yield* remaining, Infinity)
      }).pipe(Effect.provide(layer((request, index) => text(`${request.method} ${index}`)))))

    it.effect("may be a function that returns an Effect", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* readText, "later")
      }).pipe(Effect.provide(layer(() => Effect.succeed(text("later"))))))

    it.effect("starts again for every layer that is built", () => {
      const fresh = layer([text("one")])
      return Effect.gen(function*() {
        assert.strictEqual(yield* Effect.provide(readText, fresh), "one")
        assert.strictEqual(yield* Effect.provide(readText, fresh), "one")
      })
    })
  })

  describe("requests", () => {
    it.effect("are captured with method, address, headers, body and time", () =>
      Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        yield* TestClock.adjust("5 seconds")
        yield* client.execute(
          HttpClientRequest.post(url, { urlParams: { a: "1 2" } }).pipe(
            HttpClientRequest.bearerToken("made-up"),
            HttpClientRequest.setHeader("X-Title", "test"),
            HttpClientRequest.bodyUnsafeJson({ model: "m", messages: [] })
          )
        )
        const [request] = yield* Effect.flatMap(script, (service) => service.requests)
        assert.strictEqual(request?.index, 0)
        assert.strictEqual(request?.at, 5000)
        assert.strictEqual(request?.method, "POST")
        assert.strictEqual(request?.url, `${url}?a=1+2`)
        assert.strictEqual(request?.headers.authorization, "Bearer made-up")
        assert.strictEqual(request?.headers["x-title"], "test")
        assert.strictEqual(request?.headers["content-type"], "application/json")
        assert.deepStrictEqual(request?.body, { model: "m", messages: [] })
        assert.strictEqual(request?.text, "{\"model\":\"m\",\"messages\":[]}")
      }).pipe(Effect.provide(layer([text("")]))))

    it.effect("may have any kind of body", () =>
      Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const form = new FormData()
        form.append("field", "value")
        const bytes = new TextEncoder().encode("né")
        const bodies = [
          HttpBody.empty,
          HttpBody.text("plain"),
          HttpBody.raw("raw"),
          HttpBody.stream(Stream.make(bytes.slice(0, 2), bytes.slice(2))),
          HttpBody.formData(form)
        ]
        yield* Effect.forEach(bodies, (body) =>
          client.execute(HttpClientRequest.setBody(HttpClientRequest.post(url), body)))
        const requests = yield* Effect.flatMap(script, (service) =>
          service.requests)
        assert.deepStrictEqual(requests.slice(0, 4).map((request) => request.text), ["", "plain", "raw", "né"])
        assert.include(requests[4]?.text, "name=\"field\"")
        assert.deepStrictEqual(requests.map((request) => request.body), Array(5).fill(undefined))
      }).pipe(Effect.provide(layer(() => text("")))))

    it.effect("tell by their times how long a retry waited", () =>
      Effect.gen(function*() {
        const client = HttpClient.retryTransient(yield* HttpClient.HttpClient, {
          times: 2,
          schedule: Schedule.spaced("3 seconds")
        })
        const fiber = yield* Effect.fork(client.get(url))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
        const requests = yield* Effect.flatMap(script, (service) => service.requests)
        assert.deepStrictEqual(requests.map((request) => request.at), [0, 3000, 6000])
      }).pipe(Effect.provide(layer([
        ScriptedHttpClient.connectionError(),
        json({ error: "busy" }, { status: 503 }),
        text("ok")
      ]))))
  })

  describe("responses", () => {
    it.effect("have a status, headers and a JSON body", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.strictEqual(response.status, 429)
        assert.strictEqual(response.headers["retry-after"], "7")
        assert.strictEqual(response.headers["content-type"], "application/json")
        assert.strictEqual(response.cookies.cookies["a"]?.value, "b")
        assert.deepStrictEqual(yield* response.json, { error: { message: "slow down" } })
        assert.strictEqual(yield* response.text, "{\"error\":{\"message\":\"slow down\"}}")
        assert.strictEqual((yield* response.arrayBuffer).byteLength, 33)
      }).pipe(
        Effect.provide(layer([
          json({ error: { message: "slow down" } }, {
            status: 429,
            headers: { "Retry-After": "7", "Set-Cookie": "a=b" }
          })
        ]))
      ))

    it.effect("may replace the content type by a header of any case", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.strictEqual(response.headers["content-type"], "text/html")
      }).pipe(Effect.provide(layer([text("<html>", { headers: { "Content-Type": "text/html" } })]))))

    it.effect("report JSON that is none as a decode error with its cause", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.flatMap(HttpClient.get(url), (response) => response.json))
        assert.strictEqual(error.reason, "Decode")
        assert.instanceOf(error.cause, SyntaxError)
      }).pipe(Effect.provide(layer([text("<html>")]))))

    it.effect("may have no body, whose JSON is null", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.strictEqual(yield* unread, 0)
        assert.isNull(yield* response.json)
      }).pipe(Effect.provide(layer([text("", { status: 204 })]))))

    it.effect("have form bodies", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.deepStrictEqual(yield* response.urlParamsBody, [["a", "1"]])
        assert.strictEqual((yield* response.formData).get("a"), "1")
      }).pipe(Effect.provide(layer([
        text("a=1", { headers: { "content-type": "application/x-www-form-urlencoded" } })
      ]))))

    it.effect("can be printed without being read", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.include(Inspectable.format(response), "\"status\": 200")
        assert.strictEqual(yield* unread, 1)
        assert.strictEqual(yield* response.text, "body")
      }).pipe(Effect.provide(layer([text("body")]))))

    it.effect("can be read once, by stream or by text", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.strictEqual(yield* response.text, "body")
        assert.strictEqual(yield* response.text, "body")
        const error = yield* Effect.flip(Stream.runDrain(response.stream))
        assert.strictEqual(error.reason, "Decode")
        assert.include(String(error.cause), "already been read")
      }).pipe(Effect.provide(layer([text("body")]))))
  })

  describe("bodies", () => {
    it.effect("arrive in the chosen reads, inside a character too", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        const parts = Array.from(yield* Stream.runCollect(response.stream), (part) => Array.from(part))
        assert.deepStrictEqual(parts, [[100], [0xc3], [0xa9], [10]])
      }).pipe(Effect.provide(layer([bytes(["d", Uint8Array.of(0xc3), Uint8Array.of(0xa9), "\n"])]))))

    it.effect("join characters that are split over reads in their text", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* readText, "é")
      }).pipe(Effect.provide(layer([bytes([Uint8Array.of(0xc3), Uint8Array.of(0xa9)])]))))

    it.effect("may be server-sent events", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* reads, ["data: {\"a\":1}\n\n", "data: : keepalive\n\n", "data: [DONE]\n\n"])
      }).pipe(Effect.provide(layer([sse([{ a: 1 }, ": keepalive", "[DONE]"])]))))

    it.effect("may be a complete streamed completion", () =>
      Effect.gen(function*() {
        const events = yield* reads
        const chunks = events.slice(0, -1).map((event): unknown => JSON.parse(event.slice("data: ".length)))
        const chunk = (choices: ReadonlyArray<unknown>) => ({
          id: "chatcmpl-scripted",
          object: "chat.completion.chunk",
          created: 0,
          model: "m",
          choices
        })
        const choice = (delta: object, finish_reason: string | null) => chunk([{ index: 0, delta, finish_reason }])
        assert.deepStrictEqual(chunks, [
          choice({ role: "assistant", content: "" }, null),
          choice({ content: "Hel" }, null),
          choice({ content: "lo" }, null),
          choice({}, "length"),
          { ...chunk([]), usage: { prompt_tokens: 1 } }
        ])
        assert.strictEqual(events.at(-1), "data: [DONE]\n\n")
      }).pipe(Effect.provide(layer([
        tokens(["Hel", "lo"], { finishReason: "length", usage: { prompt_tokens: 1 }, model: "m" })
      ]))))

    it.effect("may be a completion that ends early", () =>
      Effect.gen(function*() {
        assert.lengthOf(yield* reads, 2)
        assert.notInclude(yield* readText, "[DONE]")
        assert.include(yield* readText, "\"content\":\"Hi\"},\"finish_reason\":null}]}\n\ndata: [DONE]")
      }).pipe(Effect.provide(layer([
        tokens(["Hi"], { ending: "truncated" }),
        tokens(["Hi"], { ending: "truncated" }),
        tokens(["Hi"], { finishReason: null })
      ]))))

    it.effect("wait on the Clock of the fiber that reads them", () =>
      Effect.gen(function*() {
        const received: Array<string> = []
        const fiber = yield* HttpClient.get(url).pipe(
          Effect.flatMap((response) =>
            Stream.runForEach(Stream.decodeText(response.stream), (text) => Effect.sync(() => received.push(text)))
          ),
          Effect.fork
        )
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(received, ["a"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(received, ["a", "b"])
        yield* Fiber.join(fiber)
      }).pipe(Effect.provide(layer([bytes(["a", delay("10 seconds"), "b"])]))))

    it.effect("wait before each token of a slow completion", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.timed(readText))
        yield* TestClock.adjust("1 minute")
        const [duration] = yield* Fiber.join(fiber)
        assert.strictEqual(Duration.toSeconds(duration), 6)
      }).pipe(Effect.provide(layer([tokens(["a", "b", "c"], { delay: "2 seconds" })]))))

    it.effect("fail with the cause of the reset after the earlier bytes", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        const received: Array<string> = []
        const error = yield* response.stream.pipe(
          Stream.decodeText(),
          Stream.runForEach((text) => Effect.sync(() => received.push(text))),
          Effect.flip
        )
        assert.deepStrictEqual(received, ["a"])
        assert.strictEqual(error._tag, "ResponseError")
        assert.strictEqual(error.reason, "Decode")
        assert.deepInclude(error.cause, { code: "ECONNRESET", errno: -104, syscall: "read", message: "gone" })
        assert.strictEqual(yield* open, 0)
      }).pipe(Effect.provide(layer([bytes(["a", reset("gone")])]))))

    it.effect("fail as text too", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(readText)
        assert.strictEqual(error.reason, "Decode")
        assert.strictEqual(String(error.cause), "TypeError: terminated")
      }).pipe(Effect.provide(layer([tokens(["a"], { ending: reset(undefined, { as: "fetch" }) })]))))

    it.effect("may never end", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(readText)
        yield* TestClock.adjust("1000 days")
        assert.isTrue(Option.isNone(yield* Fiber.poll(fiber)))
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(layer([bytes(["a", never])]))))
  })

  describe("release", () => {
    it.effect("counts a body as open while it is read, and releases it at its end", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        assert.deepStrictEqual([yield* unread, yield* open], [1, 0])
        const during = yield* Stream.runCollect(Stream.mapEffect(response.stream, () => open))
        assert.deepStrictEqual(Array.from(during), [1, 1])
        assert.deepStrictEqual([yield* unread, yield* open], [0, 0])
      }).pipe(Effect.provide(layer([bytes(["a", "b"])]))))

    it.effect("releases a body whose reader reads only a part", () =>
      Effect.gen(function*() {
        const response = yield* HttpClient.get(url)
        yield* Stream.runDrain(Stream.take(response.stream, 1))
        assert.strictEqual(yield* open, 0)
      }).pipe(Effect.provide(layer([bytes(["a", never])]))))

    it.effect("releases a body whose reader is interrupted", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(readText)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* open, 1)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* open, 0)
      }).pipe(Effect.provide(layer([bytes(["a", never])]))))

    it.effect("forgets a request that is interrupted while it waits for its headers", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(readText)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* pending, 1)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual([yield* pending, yield* unread, yield* open], [0, 0, 0])
        assert.lengthOf(yield* Effect.flatMap(script, (service) => service.requests), 1)
      }).pipe(Effect.provide(layer([ScriptedHttpClient.delayed(Duration.infinity, text("late"))]))))

    it.effect("ends a read, and an unread body, when the scope of the request closes", () =>
      Effect.gen(function*() {
        const client = HttpClient.withScope(yield* HttpClient.HttpClient)
        const reader = yield* Effect.scoped(Effect.gen(function*() {
          const response = yield* client.get(url)
          yield* client.get(url)
          const reader = yield* Effect.forkDaemon(Stream.runDrain(response.stream))
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual([yield* open, yield* unread], [1, 1])
          return reader
        }))
        const exit = yield* Fiber.await(reader)
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual([yield* open, yield* unread], [0, 0])
      }).pipe(Effect.provide(layer([bytes([never]), text("unread")]))))
  })

  describe("connections", () => {
    it.effect("are refused as Node's client reports it", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(readText)
        assert.strictEqual(error._tag, "RequestError")
        assert.strictEqual(error.reason, "Transport")
        assert.deepInclude(error.cause, { code: "ECONNREFUSED", syscall: "connect", errno: -111 })
      }).pipe(Effect.provide(layer([ScriptedHttpClient.connectionError()]))))

    it.effect("fail with any code, message or cause, or as fetch reports it", () =>
      Effect.gen(function*() {
        const [dns, fetch, custom] = yield* Effect.all([
          Effect.flip(readText),
          Effect.flip(readText),
          Effect.flip(readText)
        ])
        assert.deepInclude(dns.cause, { code: "ENOTFOUND", syscall: "getaddrinfo", message: "no such host" })
        assert.strictEqual(String(fetch.cause), "TypeError: fetch failed")
        assert.deepInclude(fetch.cause, { message: "fetch failed" })
        assert.strictEqual(custom.cause, "own")
      }).pipe(Effect.provide(layer([
        ScriptedHttpClient.connectionError({ code: "ENOTFOUND", message: "no such host" }),
        ScriptedHttpClient.connectionError({ as: "fetch" }),
        ScriptedHttpClient.connectionError({ cause: "own" })
      ]))))

    it.effect("bring late headers on the Clock", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(Effect.timed(HttpClient.get(url)))
        yield* TestClock.adjust("1 minute")
        const [duration] = yield* Fiber.join(fiber)
        assert.strictEqual(Duration.toSeconds(duration), 30)
      }).pipe(Effect.provide(layer([ScriptedHttpClient.delayed("30 seconds", text("late"))]))))

    it.live("break with the error of fetch for a real server that resets", () =>
      Effect.gen(function*() {
        const port = yield* resettingServer
        const client = yield* HttpClient.HttpClient
        const real = yield* Effect.flip(
          Effect.flatMap(client.get(`http://127.0.0.1:${port}/`), (response) => response.text)
        )
        const scripted = yield* readText.pipe(
          Effect.flip,
          Effect.provide(layer([bytes(["abc", reset(undefined, { as: "fetch" })])]))
        )
        assert.strictEqual(scripted._tag, real._tag)
        assert.strictEqual(scripted.reason, real.reason)
        assert.deepStrictEqual(shape(scripted.cause), shape(real.cause))
      }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)))
  })
})

const shape = (error: unknown): unknown =>
  error instanceof Error
    ? { name: error.name, message: error.message, fields: Object.entries(error), cause: shape(error.cause) }
    : error

const resettingServer = Effect.map(
  Effect.acquireRelease(
    Effect.async<Net.Server>((resume) => {
      const server = Net.createServer((socket) => {
        socket.once("data", () => {
          socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
          Effect.runFork(Effect.delay(Effect.sync(() => socket.resetAndDestroy()), "30 millis"))
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }
)
