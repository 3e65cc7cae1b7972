/**
 * The log of a turn: its events by number, for any number of readers, and how it ended.
 *
 * A reader remembers the number that it has read to. It has no queue of its own, so that a reader that is slow, or has
 * left, costs nothing.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { NumberedEvent } from "../../Turn.ts"
import { ended, type Pull } from "../transport/stream.ts"

/** The log of one turn. Mutable. */
export class TurnLog {
  readonly #events: Array<ChatEvent> = []
  readonly #waiting = new Set<() => void>()
  #end: Pull<never, ChatError> | undefined

  /** The number of the last event, 0 if there is none. */
  get last(): number {
    return this.#events.length
  }

  add(events: ReadonlyArray<ChatEvent>): void {
    for (const event of events) this.#events.push(event)
    this.#wake()
  }

  /** Ends the log as the turn ended. */
  end(exit: Exit.Exit<unknown, ChatError>): void {
    this.#end = Exit.match(exit, {
      onFailure: (cause) => Effect.failCause(Cause.map(cause, Option.some)),
      onSuccess: () => ended
    })
    this.#wake()
  }

  /**
   * The events behind a number, and then those that come. A reader that is behind more events than the turn has gets
   * `Finish`: it read them of an answer that was asked again since.
   */
  pull(after: number): Pull<NumberedEvent, ChatError> {
    let position = after
    const next: Pull<NumberedEvent, ChatError> = Effect.suspend(() => {
      if (position < this.#events.length) {
        const first = position + 1
        const events = this.#events.slice(position).map((event, index) => ({ seq: first + index, event }))
        position = this.#events.length
        return Effect.succeed(events)
      }
      if (this.#end === undefined) return Effect.zipRight(this.#change(position), next)
      const finish = position > this.#events.length ? this.#events.filter(isFinish) : []
      if (finish.length === 0) return this.#end
      const seq = position + 1
      position = this.#events.length
      return Effect.succeed(finish.map((event) => ({ seq, event })))
    })
    return next
  }

  /** Waits for events behind a number, or for the end. Either may have come before the wait begins. */
  #change(position: number): Effect.Effect<void> {
    return Effect.async((resume) => {
      const wake = (): void => resume(Effect.void)
      if (this.#end !== undefined || position < this.#events.length) return wake()
      this.#waiting.add(wake)
      return Effect.sync(() => this.#waiting.delete(wake))
    })
  }

  #wake(): void {
    const waiting = Array.from(this.#waiting)
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }
}

/** The log of a turn that is over. */
export const ofEvents = (events: ReadonlyArray<ChatEvent>): TurnLog => {
  const log = new TurnLog()
  log.add(events)
  log.end(Exit.void)
  return log
}

/**
 * The events of a turn that is stored, behind a number. The live turn may have had more events than are read here: a
 * reader that is behind all of these gets `Finish`, which has the whole answer.
 */
export const replay = (events: ReadonlyArray<ChatEvent>, after: number): Pull<NumberedEvent, ChatError> => {
  if (after < events.length) return ofEvents(events).pull(after)
  const finish = events.filter(isFinish)
  let isRead = false
  return Effect.suspend((): Pull<NumberedEvent, ChatError> => {
    if (isRead) return ended
    isRead = true
    return Effect.succeed(finish.map((event) => ({ seq: after + 1, event })))
  })
}
