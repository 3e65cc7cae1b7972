/**
 * Yields to the event loop after every 64 KiB of a body. Otherwise a body that has already arrived would be decoded without
 * a pause, and timers and other connections would wait.
 */
import * as Effect from "effect/Effect"
import { type Body, isBytes, type Read, type Take } from "./responseBody.ts"
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

/** The body in chunks of at most {@link batchSize} bytes, which yields to the event loop after as many bytes. */
export const pacedBody = (body: Body): Body => {
  let remaining = batchSize
  /** Bytes that were read and not taken. */
  let pending: Uint8Array | undefined
  let reader: Take | undefined
  let isPaused = false
  const onRead = (read: Read): boolean => {
    const take = reader
    if (take === undefined || !isBytes(read)) return take?.(read) === true
    remaining -= read.length
    if (read.length <= batchSize) return take(read)
    // `take` may start the next read before it returns.
    pending = read.subarray(batchSize)
    if (!take(read.subarray(0, batchSize))) pending = read
    return true
  }
  const readNext = (): void => {
    const bytes = pending
    pending = undefined
    if (bytes === undefined) body.read(onRead)
    else if (!onRead(bytes)) pending = bytes
  }
  return {
    read: (take) => {
      reader = take
      if (isPaused) return
      if (remaining > 0) return readNext()
      isPaused = true
      nextTurn(() => {
        isPaused = false
        remaining = batchSize
        readNext()
      })
    },
    close: body.close
  }
}

/** Like {@link pacedBody}, for a body that is pulled. */
export const pacedPull = <E>(pull: Pull<Uint8Array, E>): Pull<Uint8Array, E> => {
  let remaining = batchSize
  let pending: ReadonlyArray<Uint8Array> = []
  const next = Effect.map(
    Effect.suspend(() => pending.length > 0 ? Effect.succeed(pending) : pull),
    ([bytes, ...rest]) => {
      const chunk = bytes?.subarray(0, batchSize) ?? new Uint8Array()
      remaining -= chunk.length
      pending = bytes === undefined || bytes.length <= batchSize ? rest : [bytes.subarray(batchSize), ...rest]
      return [chunk]
    }
  )
  return Effect.suspend(() => {
    if (remaining > 0) return next
    remaining = batchSize
    return Effect.zipRight(yieldToEventLoop, next)
  })
}
