/**
 * Bodies that are read in stretches: after so many bytes, the timers and connections of the event loop have their turn.
 * Without it, bytes that are already there would be read one after another, for as long as there are any.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Effect from "effect/Effect"
import { fieldsOf } from "../json.ts"
import { type Body, isBytes, type Read, type Take } from "./byteReader.ts"
import type { Pull } from "./stream.ts"

/** How many bytes are decoded in one turn of the event loop. The slowest answers take some milliseconds for them. */
const stretch = 2 ** 16

/** Calls back in the next turn of the event loop. A promise would call back in this one. */
const nextTurn = (callback: () => void): void => {
  // Browsers have timers alone.
  const { setImmediate, setTimeout } = fieldsOf(globalThis)
  const schedule = typeof setImmediate === "function" ? setImmediate : setTimeout
  if (typeof schedule === "function") Reflect.apply(schedule, undefined, [callback])
}

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
export const pacedPull = (
  pull: Pull<Uint8Array, HttpClientError.HttpClientError>
): Pull<Uint8Array, HttpClientError.HttpClientError> => {
  let left = stretch
  let kept: Array<Uint8Array> = []
  const give = (): ReadonlyArray<Uint8Array> => {
    const [bytes = new Uint8Array(), ...rest] = kept
    kept = bytes.length <= stretch ? rest : [bytes.subarray(stretch), ...rest]
    left -= Math.min(bytes.length, stretch)
    return [bytes.subarray(0, stretch)]
  }
  const more = Effect.suspend(() => {
    if (kept.length > 0) return Effect.sync(give)
    return Effect.map(pull, (chunk) => {
      kept = Array.from(chunk)
      return give()
    })
  })
  return Effect.suspend(() => {
    if (left > 0) return more
    left = stretch
    return Effect.zipRight(turn, more)
  })
}
