import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Stream } from "effect"
import { ChatCompletions } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import * as Zlib from "node:zlib"
import { answer, collect, completeFrom, failure, type Received, requestOf, streamFrom } from "../support/wire/ask.ts"
import { completion, done, ends, says } from "../support/wire/say.ts"

const clients = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layer
}

/** Serves on loopback until the scope closes. Returns the base URL. */
const serve = (handler: RequestListener) =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly close: () => void }>((resume) => {
      const http = createServer((request, response) => request.resume().on("end", () => handler(request, response)))
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

const bytesOf =
  (bytes: Uint8Array, headers: Readonly<Record<string, string>>, status = 200): RequestListener => (_, response) =>
    void response.writeHead(status, headers).end(bytes)

const events = says("Hello") + ends() + done

/** Encodings of a server, with the `content-encoding` header that it sends. */
const codings: Readonly<Record<string, readonly [header: string | undefined, encode: (text: string) => Uint8Array]>> = {
  gzip: ["gzip", Zlib.gzipSync],
  "gzip with the header x-gzip": ["x-gzip", Zlib.gzipSync],
  "gzip without a header": [undefined, Zlib.gzipSync],
  "gzip with the header identity": ["identity", Zlib.gzipSync],
  brotli: ["br", Zlib.brotliCompressSync],
  "brotli with a large window": [
    "br",
    (text) => Zlib.brotliCompressSync(text, { params: { [Zlib.constants.BROTLI_PARAM_LGWIN]: 16 } })
  ],
  deflate: ["deflate", Zlib.deflateSync],
  "raw deflate": ["deflate", Zlib.deflateRawSync]
}

describe("a compressed answer", () => {
  for (const [client, layer] of Object.entries(clients)) {
    const wire = ChatCompletions.layer.pipe(Layer.provide(layer))
    for (const [name, [header, encode]] of Object.entries(codings)) {
      const headers = (type: string) => ({
        "content-type": type,
        ...(header === undefined ? {} : { "content-encoding": header })
      })

      it.live(`is read by ${client}: ${name}, as a stream, as a document, and as an error`, () =>
        Effect.gen(function*() {
          const streams = yield* serve(bytesOf(encode(events), headers("text/event-stream")))
          const { outcome } = yield* collect({ config: { baseUrl: streams.url } })
          assert.strictEqual(outcome._tag === "Right" ? outcome.right.text : outcome.left.message, "Hello")

          const document = JSON.stringify(completion({ content: "Hello" }))
          const documents = yield* serve(bytesOf(encode(document), headers("application/json")))
          const completions = yield* ChatCompletions.ChatCompletions
          const complete = yield* completions.complete(requestOf({ config: { baseUrl: documents.url } }))
          assert.strictEqual(complete.text, "Hello")

          const refusal = encode(JSON.stringify({ error: { message: "no such thing" } }))
          const errors = yield* serve(bytesOf(refusal, headers("application/json"), 400))
          const error = yield* Effect.flip(completions.complete(requestOf({ config: { baseUrl: errors.url } })))
          assert.strictEqual(error.message, "no such thing")
          assert.include(error.body, "no such thing")
        }).pipe(Effect.scoped, Effect.provide(wire)))
    }

    it.live(`arrives at ${client} while the server writes it`, () =>
      Effect.gen(function*() {
        let sendRest = (): void => assert.fail("an answer before the request")
        const { url } = yield* serve((_, response) => {
          response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" })
          const gzip = Zlib.createGzip()
          gzip.pipe(response)
          gzip.write(says("first"))
          gzip.flush()
          sendRest = () => void gzip.end(says("second") + ends() + done)
        })
        const completions = yield* ChatCompletions.ChatCompletions
        const texts = yield* completions.stream(requestOf({ config: { baseUrl: url } })).pipe(
          Stream.runFold("", (texts, event) => {
            if (event._tag !== "TextDelta") return texts
            if (texts === "") sendRest()
            return `${texts}${event.text}|`
          })
        )
        assert.strictEqual(texts, "first|second|")
      }).pipe(Effect.scoped, Effect.provide(wire)))

    it.live(`releases the connection of ${client} if the consumer stops reading`, () =>
      Effect.gen(function*() {
        const closed = yield* Deferred.make<void>()
        const { url } = yield* serve((_, response) => {
          response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" })
          response.on("close", () => Deferred.unsafeDone(closed, Effect.void))
          const gzip = Zlib.createGzip()
          gzip.pipe(response)
          gzip.write(says("first"))
          gzip.flush()
        })
        const completions = yield* ChatCompletions.ChatCompletions
        yield* completions.stream(requestOf({ config: { baseUrl: url } })).pipe(Stream.take(1), Stream.runDrain)
        yield* Deferred.await(closed).pipe(Effect.timeout("5 seconds"))
      }).pipe(Effect.scoped, Effect.provide(wire)))
  }
})

describe("a wrong content-encoding header", () => {
  const plain: ReadonlyArray<readonly [string, string]> = [
    ["gzip", events],
    ["br", events],
    ["deflate", events],
    ["zstd", events],
    ["br", JSON.stringify(completion({ content: "Hello" }))]
  ]
  for (const [coding, body] of plain) {
    it.live(`does not change a text that is labelled ${coding}: ${body.slice(0, 5)}`, () =>
      Effect.gen(function*() {
        const { url } = yield* serve(bytesOf(new TextEncoder().encode(body), { "content-encoding": coding }))
        const { outcome } = yield* collect({ config: { baseUrl: url } })
        assert.strictEqual(outcome._tag === "Right" ? outcome.right.text : outcome.left.message, "Hello")
      }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(NodeHttpClient.layerUndici)))))
  }
})

describe("a text that is labelled compressed, with fetch, which decodes by the header alone", () => {
  for (const coding of ["gzip", "deflate", "br"]) {
    it.live(`is a MalformedResponseError that names the header: ${coding}`, () =>
      Effect.gen(function*() {
        const { url } = yield* serve(bytesOf(new TextEncoder().encode(events), { "content-encoding": coding }))
        const { outcome } = yield* collect({ config: { baseUrl: url } })
        if (outcome._tag === "Right") return assert.fail("an answer")
        assert.strictEqual(outcome.left._tag, "MalformedResponseError")
        assert.include(outcome.left.message, "not compressed as its header says")
      }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer)))))
  }
})

/** A response of an unknown client. */
const response = (chunks: ReadonlyArray<Uint8Array>, headers: Readonly<Record<string, string>> = {}) =>
  ScriptedHttpClient.bytes(chunks, { headers: { "content-type": "text/event-stream", ...headers } })

const byteByByte = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => Array.from(bytes, (byte) => Uint8Array.of(byte))

const text = (received: Received): string => answer(received).text

describe("compressed bytes", () => {
  it.effect("are decoded for any split, with and without a header", () =>
    Effect.gen(function*() {
      const gzip = Zlib.gzipSync(events)
      assert.strictEqual(text(yield* streamFrom([response(byteByByte(gzip))])), "Hello")
      assert.strictEqual(text(yield* streamFrom([response([gzip], { "content-encoding": "gzip" })])), "Hello")
      const br = byteByByte(Zlib.brotliCompressSync(events))
      assert.strictEqual(text(yield* streamFrom([response(br, { "content-encoding": "br" })])), "Hello")
    }))

  it.effect("that end too early are a TruncatedError with the part that arrived", () =>
    Effect.gen(function*() {
      const longAnswer = says("Hello") + says("x".repeat(50)).repeat(50)
      const gzip = Zlib.gzipSync(longAnswer, { level: 0 })
      const received = yield* streamFrom([response([gzip.subarray(0, gzip.length / 2)])])
      assert.include(failure(received, "TruncatedError").partial?.text, "Hello")
    }))

  it.effect("that are invalid are a MalformedResponseError with the part that arrived", () =>
    Effect.gen(function*() {
      const start = Zlib.gzipSync(says("Hello"), { finishFlush: Zlib.constants.Z_SYNC_FLUSH })
      const invalid = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])
      const error = failure(yield* streamFrom([response([start, invalid])]), "MalformedResponseError")
      assert.include(error.message, "not valid gzip")
      assert.strictEqual(error.partial?.text, "Hello")
    }))

  it.effect("count toward size limits after decoding", () =>
    Effect.gen(function*() {
      const bomb = Zlib.gzipSync(`{"a":"${"x".repeat(20_000_000)}`)
      assert.isBelow(bomb.length, 50_000)
      const received = yield* completeFrom([response([bomb])], { config: { maxBodySize: 100_000 } })
      assert.include(failure(received, "MalformedResponseError").message, "longer than 100000 bytes")
    }))

  it.effect("of an error body are decoded, up to the limit for errors", () =>
    Effect.gen(function*() {
      const bomb = Zlib.gzipSync(`no ${"x".repeat(20_000_000)}`)
      const received = yield* streamFrom([ScriptedHttpClient.bytes([bomb], { status: 400 })])
      assert.strictEqual(failure(received, "InvalidRequestError").body, `no ${"x".repeat(8189)}`)
    }))
})
