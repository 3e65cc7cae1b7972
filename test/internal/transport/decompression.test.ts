import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as Zlib from "node:zlib"
import { decompressed } from "../../../src/internal/transport/decompression.ts"
import * as Body from "../../../src/internal/transport/responseBody.ts"

const toFailure: Body.ToFailure = (cause) => Option.some(cause as never)

/** The complete text of a body, or the message of its failure. */
const read = (body: Body.Body): Effect.Effect<string> =>
  Effect.async((resume) => {
    const utf8 = new TextDecoder()
    let text = ""
    const next = (): void =>
      body.read((result) => {
        if (Body.isBytes(result)) {
          text += utf8.decode(result, { stream: true })
          next()
        } else {
          resume(
            Effect.succeed(Option.match(result, { onNone: () => text, onSome: (error) => `${String(error)} ${text}` }))
          )
        }
        return true
      })
    next()
  })

const bodyOf = (...chunks: ReadonlyArray<Uint8Array>): Body.Body =>
  Body.fromWeb(
    new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const chunk of chunks) controller.enqueue(chunk)
        controller.close()
      }
    }).getReader(),
    toFailure
  )

/** Runs an effect without Node's modules, as in a browser. */
const withoutNode = <A>(effect: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const descriptor = Object.getOwnPropertyDescriptor(process, "getBuiltinModule")
      Object.defineProperty(process, "getBuiltinModule", { value: undefined, configurable: true, writable: true })
      return descriptor
    }),
    () => effect,
    (descriptor) => Effect.sync(() => descriptor && Object.defineProperty(process, "getBuiltinModule", descriptor))
  )

describe("without zlib", () => {
  const longBody = "data: hello\n\n".repeat(10_000)

  for (
    const [name, encode] of [["gzip", Zlib.gzipSync], ["deflate", Zlib.deflateSync], [
      "deflate",
      Zlib.deflateRawSync
    ]] as const
  ) {
    it.live(`the platform decodes ${encode.name}`, () =>
      withoutNode(
        Effect.map(read(decompressed(bodyOf(encode(longBody)), name, false, toFailure)), (text) =>
          assert.strictEqual(text, longBody))
      ))
  }

  it.live("brotli is a failure that names the format", () =>
    withoutNode(
      Effect.map(
        read(decompressed(bodyOf(Zlib.brotliCompressSync(longBody)), "br", false, toFailure)),
        (text) => assert.include(text, "compressed (br)")
      )
    ))

  it.live("bytes that are not valid gzip are a failure", () =>
    withoutNode(
      Effect.map(
        read(decompressed(bodyOf(Uint8Array.of(0x1f, 0x8b, 1, 2, 3, 4)), "", false, toFailure)),
        (text) => assert.include(text, "not valid gzip")
      )
    ))
})

describe("a body that is compressed more than once", () => {
  const text = "data: {}\n\n".repeat(100)
  for (
    const [header, bytes] of [
      ["gzip, gzip", Zlib.gzipSync(Zlib.gzipSync(text))],
      ["deflate, GZIP", Zlib.gzipSync(Zlib.deflateSync(text))],
      ["br,gzip", Zlib.gzipSync(Zlib.brotliCompressSync(text))],
      ["identity, br", Zlib.brotliCompressSync(text)],
      ["br, identity", Zlib.brotliCompressSync(text)]
    ] as const
  ) {
    it.live(`is decoded in the order of ${header}`, () =>
      Effect.map(
        read(decompressed(bodyOf(bytes), header, false, toFailure)),
        (actual) => assert.strictEqual(actual, text)
      ))
  }

  it.live("is read unchanged if fetch decoded it", () =>
    Effect.map(
      read(decompressed(bodyOf(new TextEncoder().encode(text)), "br, gzip", true, toFailure)),
      (actual) => assert.strictEqual(actual, text)
    ))
})

describe("zstd", () => {
  const text = "data: {}\n\n".repeat(100)
  // The text, compressed by the `zstd` command.
  const bytes = Uint8Array.from(
    atob("KLUv/QRYjQAAUGRhdGE6IHt9CgoBANtbFSRO/AG/"),
    (character) => character.charCodeAt(0)
  )

  it.live("is decoded if Node supports it, and otherwise fails with its name", () =>
    Effect.map(read(decompressed(bodyOf(bytes), "zstd", false, toFailure)), (actual) => {
      if ("createZstdDecompress" in Zlib) assert.strictEqual(actual, text)
      else assert.include(actual, "compressed (zstd)")
    }))
})

describe("a body that is not compressed", () => {
  it.live("is read unchanged, even if it is shorter than the signature", () =>
    Effect.forEach(["", "{", "{}", "(", "\u001f"], (text) =>
      Effect.map(
        read(decompressed(bodyOf(...text === "" ? [] : [new TextEncoder().encode(text)]), "", false, toFailure)),
        (actual) => assert.strictEqual(actual, text)
      )))

  it.live("keeps unread data", () =>
    Effect.gen(function*() {
      const body = decompressed(bodyOf(new TextEncoder().encode("data: hello")), "", false, toFailure)
      yield* Effect.async<void>((resume) =>
        body.read(() => {
          resume(Effect.void)
          return false
        })
      )
      assert.strictEqual(yield* read(body), "data: hello")
    }))
})
