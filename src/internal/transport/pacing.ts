/**
 * Bodies that are read in stretches: after so many bytes, the timers and connections of the event loop have their turn.
 * Without it, bytes that are already there would be read one after another, for as long as there are any.
 */
import * as Effect from "effect/Effect"
import { type Body, isBytes, type Read, type Take } from "./byteReader.ts"
import type { Pull } from "./stream.ts"

/** How many bytes are decoded in one turn of the event loop. The slowest answers take some milliseconds for them. */
const stretch = 2 ** 16

/** Node, Bun and Deno have it. Browsers have timers alone. */
declare const setImmediate: ((callback: () => void) => unknown) | undefined

/** Calls back in the next turn of the event loop. A promise would call back in this one. */
const nextTurn = (callback: () => void): void =>
  // @effect-diagnostics-next-line globalTimers:off -- it counts no time, and a Clock of tests would stop it
  void (typeof setImmediate === "function" ? setImmediate(callback) : globalThis.setTimeout(callback))

/** Suspends until the next turn of the event loop. */
export const turn: Effect.Effect<void> = Effect.async((resume) => nextTurn(() => resume(Effect.void)))

/** The body, with pieces that are no longer than a stretch, and a turn of the event loop after each stretch. */
export const pacedBody = (body: Body): Body => {
  let left = stretch
  /** Bytes that were read and not taken. */
  let kept: Uint8Array | undefined
  let wanted: Take | undefined
  let isResting = false
  const onRead = (read: Read): boolean => {
    const take = wanted
    if (take === undefined || !isBytes(read)) return take?.(read) === true
    left -= read.length
    if (read.length <= stretch) return take(read)
    // Whoever takes it may read on before `take` returns.
    kept = read.subarray(stretch)
    if (!take(read.subarray(0, stretch))) kept = read
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
        left = stretch
        readOn()
      })
    },
    close: body.close
  }
}

/** The same for a body that is pulled. */
export const pacedPull = <E>(pull: Pull<Uint8Array, E>): Pull<Uint8Array, E> => {
  let left = stretch
  let kept: ReadonlyArray<Uint8Array> = []
  const next = Effect.map(Effect.suspend(() => kept.length > 0 ? Effect.succeed(kept) : pull), ([bytes, ...rest]) => {
    const piece = bytes?.subarray(0, stretch) ?? new Uint8Array()
    left -= piece.length
    kept = bytes === undefined || bytes.length <= stretch ? rest : [bytes.subarray(stretch), ...rest]
    return [piece]
  })
  return Effect.suspend(() => {
    if (left > 0) return next
    left = stretch
    return Effect.zipRight(turn, next)
  })
}
