/**
 * Decompresses bodies that a server compressed without being asked, and that the HTTP client did not decompress.
 *
 * `fetch` decompresses by itself but keeps the header; `node:http` and undici do not decompress. Therefore the signatures of
 * gzip, zlib and zstd in the bytes decide. Brotli has no signature, so only the header identifies it.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { fieldsOf, isRecord } from "../json.ts"
import * as Body from "./byteReader.ts"
import type { Pull } from "./stream.ts"

/** The bytes do not have the declared format, or no decoder is available for it. */
export class DecompressionError extends Error {
  override readonly name = "DecompressionError"
}

type Format = "gzip" | "br" | "deflate" | "deflate-raw" | "zstd"

/** A decoder of one format. */
export interface Decoder {
  readonly body: Body.Body
  /** Decodes more bytes, and calls back when it can take others. */
  readonly write: (bytes: Uint8Array, next: () => void) => void
  readonly end: () => void
}

/** How many bytes identify the format: gzip needs two, and text the start of a field name. */
const signatureLength = 4

/** Whether the bytes start like JSON, a page or an event. Compressed bytes have control characters there. */
const looksLikeText = (bytes: Uint8Array): boolean =>
  /^(?:\uFEFF|[\s:{["<]|[a-z]{4})/i.test(new TextDecoder().decode(bytes.subarray(0, signatureLength)))

/** The format of a body that starts with these bytes. Undefined if it is not compressed. */
const formatOf = (bytes: Uint8Array, coding: string, isFetch: boolean): Format | undefined => {
  const [first = 0, second = 0] = bytes
  if (first === 0x1f && second === 0x8b) return "gzip"
  if (first === 0x28 && second === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd) return "zstd"
  if (coding !== "br" && coding !== "deflate") return undefined
  const isText = looksLikeText(bytes)
  // Brotli can look like text that starts with `[`. `fetch` has already decoded brotli, so there it is text.
  if (coding === "br") return isText && (isFetch || first !== 0x5b) ? undefined : "br"
  if (isText) return undefined
  return (first & 0xf) === 8 && ((first << 8) | second) % 31 === 0 ? "deflate" : "deflate-raw"
}

/** The names of the functions of `node:zlib`. */
const functions: Readonly<Record<Format, string>> = {
  gzip: "createGunzip",
  br: "createBrotliDecompress",
  deflate: "createInflate",
  "deflate-raw": "createInflateRaw",
  // Since Node 22.15.
  zstd: "createZstdDecompress"
}

/** A module of Node. Bun and Deno have it too. */
const builtin = (name: string): Readonly<Record<string, unknown>> => {
  const process = fieldsOf(globalThis)["process"]
  const get = fieldsOf(process)["getBuiltinModule"]
  return typeof get === "function" ? fieldsOf(Reflect.apply(get, process, [name])) : {}
}

const call = (target: unknown, name: string, ...args: ReadonlyArray<unknown>): unknown => {
  const method = isRecord(target) ? target[name] : undefined
  return typeof method === "function" ? Reflect.apply(method, target, args) : undefined
}

const byZlib = (format: Format, failed: Body.Failed): Decoder | undefined => {
  const zlib = builtin("node:zlib")
  const constants = fieldsOf(zlib["constants"])
  const flush = { br: "BROTLI_OPERATION_FLUSH", zstd: "ZSTD_e_flush" }[String(format)] ?? "Z_SYNC_FLUSH"
  // With this flush, truncated bytes are no error: the body just ends early, which the answer's decoder handles.
  const transform = call(zlib, functions[format], { finishFlush: constants[flush] })
  const body = Body.ofReadable(transform, failed)
  return body && {
    body,
    // The reader of `body` receives the failure.
    write: (bytes, next) => void call(transform, "write", bytes, (error?: unknown) => error ? undefined : next()),
    end: () => void call(transform, "end")
  }
}

/** For browsers, where a program's own `fetch` or a service worker may not decompress. */
const byPlatform = (format: Format, failed: Body.Failed): Decoder | undefined => {
  if (format === "br" || format === "zstd" || typeof DecompressionStream === "undefined") return undefined
  const { readable, writable } = new DecompressionStream(format)
  const writer = writable.getWriter()
  const writeAll = async (bytes: Uint8Array, next: () => void): Promise<void> => {
    await writer.write(new Uint8Array(bytes))
    next()
  }
  const ignore = (): void => {}
  return {
    body: Body.ofWeb(readable.getReader(), failed),
    write: (bytes, next) => void writeAll(bytes, next).catch(ignore),
    end: () => void writer.close().catch(ignore)
  }
}

/** The decoded bytes of a body. If the body fails, the bytes before that are emitted first. */
const decoded = (source: Body.Body, { body, end, write }: Decoder): Body.Body => {
  let failure: Body.Read | undefined
  const pump = (): void =>
    source.read((read) => {
      if (Body.isBytes(read)) write(read, pump)
      else {
        if (Option.isSome(read)) failure = read
        end()
      }
      return true
    })
  pump()
  return {
    read: (take) => body.read((read) => take(Body.isBytes(read) ? read : failure ?? read)),
    close: Body.closeAll(body, source)
  }
}

/** A body that starts with bytes that were already read from it. */
const startingWith = (bytes: Uint8Array, rest: Body.Body): Body.Body => {
  let kept: Uint8Array | undefined = bytes.length === 0 ? undefined : bytes
  return {
    read: (take) => {
      if (kept === undefined) return rest.read(take)
      const start = kept
      kept = undefined
      if (!take(start)) kept = start
    },
    close: rest.close
  }
}

const concat = (one: Uint8Array, other: Uint8Array): Uint8Array => {
  if (one.length === 0) return other
  const both = new Uint8Array(one.length + other.length)
  both.set(one)
  both.set(other, one.length)
  return both
}

/** The decoder for a body that starts with these bytes: undefined if it is not compressed, a failure if there is none. */
export const decoderFor = (
  start: Uint8Array,
  coding: string,
  isFetch: boolean,
  failed: Body.Failed
): Decoder | Body.Read | undefined => {
  const format = formatOf(start, coding, isFetch)
  if (format === undefined) return undefined
  const broke: Body.Failed = (cause) => failed(new DecompressionError(`The answer is not valid ${format}`, { cause }))
  return byZlib(format, broke) ?? byPlatform(format, broke) ??
    failed(new DecompressionError(`The answer is compressed (${format}), which cannot be decoded here`))
}

export const isDecoder = (value: Decoder | Body.Read): value is Decoder => "write" in value

/** Whether there are too few bytes to know if the body is compressed. */
export const isTooShort = ({ 0: first, length }: Uint8Array, coding: string): boolean =>
  length < signatureLength && (coding !== "" || first === undefined || first === 0x1f || first === 0x28)

/** The body, decoded if it is compressed. */
const opened = (
  start: Uint8Array,
  rest: Body.Body,
  coding: string,
  isFetch: boolean,
  failed: Body.Failed
): Body.Body => {
  const body = startingWith(start, rest)
  const decoder = decoderFor(start, coding, isFetch, failed)
  if (decoder === undefined) return body
  return isDecoder(decoder) ? decoded(body, decoder) : { read: (take) => void take(decoder), close: rest.close }
}

/** The codings of a header in the order in which they were applied. A proxy can compress a compressed body again. */
export const codingsOf = (header: string): ReadonlyArray<string> => {
  const most = 4
  const codings = header.toLowerCase().split(",").map((coding) => coding.trim()).filter((coding) =>
    coding !== "" && coding !== "identity"
  )
  return codings.length === 0 ? [""] : codings.slice(-most)
}

/** The body, decoded if it is compressed. `header` is its `content-encoding`. */
export const decompressed = (
  source: Body.Body,
  header: string,
  isFetch: boolean,
  failed: Body.Failed
): Body.Body => codingsOf(header).reduceRight((body, coding) => decompressedOnce(body, coding, isFetch, failed), source)

const decompressedOnce = (
  source: Body.Body,
  coding: string,
  isFetch: boolean,
  failed: Body.Failed
): Body.Body => {
  let start: Uint8Array = new Uint8Array()
  let body: Body.Body | undefined
  let wanted: Body.Take | undefined
  const look = (read: Body.Read): boolean => {
    if (Body.isBytes(read)) {
      start = concat(start, read)
      if (isTooShort(start, coding)) {
        source.read(look)
        return true
      }
    }
    // If the body ends or fails before its format is known, that result follows the bytes so far.
    const rest = Body.isBytes(read) ? source : { read: (take: Body.Take) => void take(read), close: source.close }
    body = opened(start, rest, coding, isFetch, failed)
    const take = wanted
    wanted = undefined
    if (take !== undefined) body.read(take)
    return true
  }
  return {
    read: (take) => {
      if (body !== undefined) return body.read(take)
      wanted = take
      source.read(look)
    },
    close: Body.closing(() => body ?? source)
  }
}

type Bytes = Pull<Uint8Array, HttpClientError.HttpClientError>

const bytesOf = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

/** Writes what is pulled into the decoder, in a fiber of the scope. Returns the pull of the decoded bytes. */
const decode = (
  start: ReadonlyArray<Uint8Array>,
  pull: Bytes,
  { body, end, write }: Decoder,
  scope: Scope.Scope
): Effect.Effect<Bytes> => {
  let failure: Body.Read | undefined
  const writeAll = (chunk: ReadonlyArray<Uint8Array>): Effect.Effect<void> =>
    Effect.forEach(chunk, (bytes) => Effect.async<void>((resume) => write(bytes, () => resume(Effect.void))), {
      discard: true
    })
  const pump: Effect.Effect<void> = Effect.matchEffect(pull, {
    onFailure: (reason) =>
      Effect.sync(() => {
        failure = reason
        end()
      }),
    onSuccess: (chunk) => Effect.zipRight(writeAll(chunk), pump)
  })
  const decoded: Body.Body = {
    read: (take) => body.read((read) => take(Body.isBytes(read) ? read : failure ?? read)),
    close: body.close
  }
  return Scope.addFinalizer(scope, body.close).pipe(
    Effect.zipRight(Effect.forkIn(Effect.interruptible(Effect.zipRight(writeAll(start), pump)), scope)),
    Effect.as(Body.pullOf(decoded))
  )
}

/**
 * Like {@link decompressed}, for clients whose bodies can only be read as a stream.
 */
export const decompressedPull = (pull: Bytes, header: string, failed: Body.Failed, scope: Scope.Scope): Bytes =>
  codingsOf(header).reduceRight((bytes, coding) => pullDecompressed(bytes, coding, failed, scope), pull)

const pullDecompressed = (pull: Bytes, coding: string, failed: Body.Failed, scope: Scope.Scope): Bytes => {
  let start: ReadonlyArray<Uint8Array> = []
  let begun: Bytes | undefined
  const first: Bytes = Effect.matchEffect(pull, {
    onFailure: (reason): Bytes => {
      begun = Effect.fail(reason)
      return start.length === 0 ? begun : Effect.succeed(start)
    },
    onSuccess: (chunk): Bytes => {
      start = [...start, ...chunk]
      const bytes = bytesOf(start)
      if (isTooShort(bytes, coding)) return first
      const decoder = decoderFor(bytes, coding, false, failed)
      if (decoder === undefined) {
        begun = pull
        return Effect.succeed(start)
      }
      if (!isDecoder(decoder)) return Body.isBytes(decoder) ? first : Effect.fail(decoder)
      return Effect.flatMap(decode(start, pull, decoder, scope), (next) => {
        begun = next
        return next
      })
    }
  })
  return Effect.suspend(() => begun ?? first)
}
