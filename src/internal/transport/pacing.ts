/**
 * Yields to the event loop after every 64 KiB of a body. Otherwise a body that is already available would be decoded without
 * a pause, and timers and other connections would wait.
 */
import * as Effect from "effect/Effect"
import { type Body, isBytes, type Read, type Take } from "./byteReader.ts"
import type { Pull } from "./stream.ts"

/** The maximum number of bytes that are decoded in one turn of the event loop: a few milliseconds at most. */
const batchSize = 2 ** 16

/** Node, Bun and Deno have it. Browsers have only timers. */
declare const setImmediate: ((callback: () => void) => unknown) | undefined

/** Calls back in the next turn of the event loop. A promise would call back in the current one. */
const nextTurn = (callback: () => void): void =>
  // @effect-diagnostics-next-line globalTimers:off -- it counts no time, and a Clock of tests would stop it
  void (typeof setImmediate === "function" ? setImmediate(callback) : globalThis.setTimeout(callback))

/** Suspends until the next turn of the event loop. */
export const yieldToEventLoop: Effect.Effect<void> = Effect.async((resume) => nextTurn(() => resume(Effect.void)))

/** The body in pieces of at most {@link batchSize} bytes, with a turn of the event loop after so many. */
export const pacedBody = (body: Body): Body => {
  let left = batchSize
  /** Bytes that were read and not taken. */
  let kept: Uint8Array | undefined
  let wanted: Take | undefined
  let isResting = false
  const onRead = (read: Read): boolean => {
    const take = wanted
    if (take === undefined || !isBytes(read)) return take?.(read) === true
    left -= read.length
    if (read.length <= batchSize) return take(read)
    // `take` may start the next read before it returns.
    kept = read.subarray(batchSize)
    if (!take(read.subarray(0, batchSize))) kept = read
    return true
  }
  const readOn = (): void => {
    const bytes = kept
    kept = undefined
    if (bytes === undefined) body.read(onRead)
    else if (!onRead(bytes)) kept = bytes
  }
  return {
    read: (take) => {
      wanted = take
      if (isResting) return
      if (left > 0) return readOn()
      isResting = true
      nextTurn(() => {
        isResting = false
        left = batchSize
        readOn()
      })
    },
    close: body.close
  }
}

/** Like {@link pacedBody}, for a body that is pulled. */
export const pacedPull = <E>(pull: Pull<Uint8Array, E>): Pull<Uint8Array, E> => {
  let left = batchSize
  let kept: ReadonlyArray<Uint8Array> = []
  const next = Effect.map(Effect.suspend(() => kept.length > 0 ? Effect.succeed(kept) : pull), ([bytes, ...rest]) => {
    const piece = bytes?.subarray(0, batchSize) ?? new Uint8Array()
    left -= piece.length
    kept = bytes === undefined || bytes.length <= batchSize ? rest : [bytes.subarray(batchSize), ...rest]
    return [piece]
  })
  return Effect.suspend(() => {
    if (left > 0) return next
    left = batchSize
    return Effect.zipRight(yieldToEventLoop, next)
  })
}
