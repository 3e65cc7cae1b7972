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
import * as Body from "./responseBody.ts"
import type { Pull } from "./stream.ts"

/** The bytes do not have the declared format, or no decompressor is available for it. */
export class DecompressionError extends Error {
  override readonly name = "DecompressionError"
}

type Format = "gzip" | "br" | "deflate" | "deflate-raw" | "zstd"

/** A decompressor of one format. */
export interface Decompressor {
  readonly body: Body.Body
  /** Decodes bytes, and calls back when it can take more. */
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
const zlibFunctions: Readonly<Record<Format, string>> = {
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

const callMethod = (target: unknown, name: string, ...args: ReadonlyArray<unknown>): unknown => {
  const method = isRecord(target) ? target[name] : undefined
  return typeof method === "function" ? Reflect.apply(method, target, args) : undefined
}

const zlibDecompressor = (format: Format, toFailure: Body.ToFailure): Decompressor | undefined => {
  const zlib = builtin("node:zlib")
  const constants = fieldsOf(zlib["constants"])
  const flush = { br: "BROTLI_OPERATION_FLUSH", zstd: "ZSTD_e_flush" }[String(format)] ?? "Z_SYNC_FLUSH"
  // With this flush, truncated bytes are no error: the body just ends early, which the answer's decoder handles.
  const transform = callMethod(zlib, zlibFunctions[format], { finishFlush: constants[flush] })
  const body = Body.fromReadable(transform, toFailure)
  return body && {
    body,
    // The reader of `body` receives the failure.
    write: (bytes, next) => void callMethod(transform, "write", bytes, (error?: unknown) => error ? undefined : next()),
    end: () => void callMethod(transform, "end")
  }
}

/** For browsers, where a program's own `fetch` or a service worker may not decompress. */
const platformDecompressor = (format: Format, toFailure: Body.ToFailure): Decompressor | undefined => {
  if (format === "br" || format === "zstd" || typeof DecompressionStream === "undefined") return undefined
  const { readable, writable } = new DecompressionStream(format)
  const writer = writable.getWriter()
  const writeAll = async (bytes: Uint8Array, next: () => void): Promise<void> => {
    await writer.write(new Uint8Array(bytes))
    next()
  }
  const ignore = (): void => {}
  return {
    body: Body.fromWeb(readable.getReader(), toFailure),
    write: (bytes, next) => void writeAll(bytes, next).catch(ignore),
    end: () => void writer.close().catch(ignore)
  }
}

/** The decoded bytes of a body. If the body fails, the bytes before that are emitted first. */
const decodeBody = (source: Body.Body, { body, end, write }: Decompressor): Body.Body => {
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

/** The body of bytes that were already read, followed by the rest. */
const prepend = (bytes: Uint8Array, rest: Body.Body): Body.Body => {
  let pending: Uint8Array | undefined = bytes.length === 0 ? undefined : bytes
  return {
    read: (take) => {
      if (pending === undefined) return rest.read(take)
      const start = pending
      pending = undefined
      if (!take(start)) pending = start
    },
    close: rest.close
  }
}

const concat = (first: Uint8Array, second: Uint8Array): Uint8Array => {
  if (first.length === 0) return second
  const joined = new Uint8Array(first.length + second.length)
  joined.set(first)
  joined.set(second, first.length)
  return joined
}

/** The decompressor for a body that starts with these bytes: undefined if it is not compressed, a failure if there is none. */
const decompressorFor = (
  start: Uint8Array,
  coding: string,
  isFetch: boolean,
  toFailure: Body.ToFailure
): Decompressor | Body.Read | undefined => {
  const format = formatOf(start, coding, isFetch)
  if (format === undefined) return undefined
  const toDecodeFailure: Body.ToFailure = (cause) =>
    toFailure(new DecompressionError(`The answer is not valid ${format}`, { cause }))
  return zlibDecompressor(format, toDecodeFailure) ?? platformDecompressor(format, toDecodeFailure) ??
    toFailure(new DecompressionError(`The answer is compressed (${format}), which cannot be decoded here`))
}

const isDecompressor = (value: Decompressor | Body.Read): value is Decompressor => "write" in value

/** Whether there are too few bytes to know if the body is compressed. */
const isTooShort = ({ 0: first, length }: Uint8Array, coding: string): boolean =>
  length < signatureLength && (coding !== "" || first === undefined || first === 0x1f || first === 0x28)

/** The body, decoded if it is compressed. */
const decompressFrom = (
  start: Uint8Array,
  rest: Body.Body,
  coding: string,
  isFetch: boolean,
  toFailure: Body.ToFailure
): Body.Body => {
  const body = prepend(start, rest)
  const decompressor = decompressorFor(start, coding, isFetch, toFailure)
  if (decompressor === undefined) return body
  return isDecompressor(decompressor)
    ? decodeBody(body, decompressor)
    : { read: (take) => void take(decompressor), close: rest.close }
}

/** The codings of a header in the order in which they were applied. A proxy can compress a compressed body again. */
const codingsOf = (header: string): ReadonlyArray<string> => {
  const maxCodings = 4
  const codings = header.toLowerCase().split(",").map((coding) => coding.trim()).filter((coding) =>
    coding !== "" && coding !== "identity"
  )
  return codings.length === 0 ? [""] : codings.slice(-maxCodings)
}

/** The body, decoded if it is compressed. `header` is its `content-encoding`. */
export const decompressed = (
  source: Body.Body,
  header: string,
  isFetch: boolean,
  toFailure: Body.ToFailure
): Body.Body =>
  codingsOf(header).reduceRight((body, coding) => decompressedOnce(body, coding, isFetch, toFailure), source)

const decompressedOnce = (
  source: Body.Body,
  coding: string,
  isFetch: boolean,
  toFailure: Body.ToFailure
): Body.Body => {
  let start: Uint8Array = new Uint8Array()
  let body: Body.Body | undefined
  let reader: Body.Take | undefined
  const onRead = (read: Body.Read): boolean => {
    if (Body.isBytes(read)) {
      start = concat(start, read)
      if (isTooShort(start, coding)) {
        source.read(onRead)
        return true
      }
    }
    // If the body ends or fails before its format is known, the bytes so far are read first, and then that result.
    const rest = Body.isBytes(read) ? source : { read: (take: Body.Take) => void take(read), close: source.close }
    body = decompressFrom(start, rest, coding, isFetch, toFailure)
    const take = reader
    reader = undefined
    if (take !== undefined) body.read(take)
    return true
  }
  return {
    read: (take) => {
      if (body !== undefined) return body.read(take)
      reader = take
      source.read(onRead)
    },
    close: Body.closeCurrent(() => body ?? source)
  }
}

type BytePull = Pull<Uint8Array, HttpClientError.HttpClientError>

const joinChunks = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const joined = new Uint8Array(chunks.reduce((length, chunk) => length + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    joined.set(chunk, at)
    at += chunk.length
  }
  return joined
}

/** Writes what is pulled into the decompressor, in a fiber of the scope. Returns the pull of the decoded bytes. */
const decodePull = (
  start: ReadonlyArray<Uint8Array>,
  pull: BytePull,
  { body, end, write }: Decompressor,
  scope: Scope.Scope
): Effect.Effect<BytePull> => {
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
  const decodedBody: Body.Body = {
    read: (take) => body.read((read) => take(Body.isBytes(read) ? read : failure ?? read)),
    close: body.close
  }
  return Scope.addFinalizer(scope, body.close).pipe(
    Effect.zipRight(Effect.forkIn(Effect.interruptible(Effect.zipRight(writeAll(start), pump)), scope)),
    Effect.as(Body.pullOf(decodedBody))
  )
}

/**
 * Like {@link decompressed}, for clients whose bodies can only be read as a stream.
 */
export const decompressedPull = (
  pull: BytePull,
  header: string,
  toFailure: Body.ToFailure,
  scope: Scope.Scope
): BytePull => codingsOf(header).reduceRight((bytes, coding) => pullDecompressed(bytes, coding, toFailure, scope), pull)

const pullDecompressed = (pull: BytePull, coding: string, toFailure: Body.ToFailure, scope: Scope.Scope): BytePull => {
  let start: ReadonlyArray<Uint8Array> = []
  let started: BytePull | undefined
  const firstPull: BytePull = Effect.matchEffect(pull, {
    onFailure: (reason): BytePull => {
      started = Effect.fail(reason)
      return start.length === 0 ? started : Effect.succeed(start)
    },
    onSuccess: (chunk): BytePull => {
      start = [...start, ...chunk]
      const bytes = joinChunks(start)
      if (isTooShort(bytes, coding)) return firstPull
      const decompressor = decompressorFor(bytes, coding, false, toFailure)
      if (decompressor === undefined) {
        started = pull
        return Effect.succeed(start)
      }
      if (!isDecompressor(decompressor)) return Body.isBytes(decompressor) ? firstPull : Effect.fail(decompressor)
      return Effect.flatMap(decodePull(start, pull, decompressor, scope), (next) => {
        started = next
        return next
      })
    }
  })
  return Effect.suspend(() => started ?? firstPull)
}
