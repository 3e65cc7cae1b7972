/**
 * Decompression of bodies that are read through `response.stream`: those of clients that are not known by their looks.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Body from "./byteReader.ts"
import { codingsOf, type Decoder, decoderFor, isDecoder, isTooShort } from "./decompression.ts"
import type { Pull } from "./stream.ts"

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

/** Writes what is pulled into the decoder until it ends, in a fiber of the scope. Gives the pull of what is decoded. */
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

/** The bytes of a response's stream, decoded where they are compressed. */
export const decompressedPull = (pull: Bytes, header: string, failed: Body.Failed, scope: Scope.Scope): Bytes =>
  codingsOf(header).reduceRight((bytes, coding) => decompressedOnce(bytes, coding, failed, scope), pull)

const decompressedOnce = (pull: Bytes, coding: string, failed: Body.Failed, scope: Scope.Scope): Bytes => {
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
