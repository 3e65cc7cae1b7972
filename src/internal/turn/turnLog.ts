/**
 * The event log of a turn. It numbers the events, and any number of readers can pull them.
 *
 * A reader stores only its position. It has no queue, so a slow reader needs no memory.
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

  /** Ends the log with the result of the turn. */
  end(exit: Exit.Exit<unknown, ChatError>): void {
    this.#end = Exit.match(exit, {
      onFailure: (cause) => Effect.failCause(Cause.map(cause, Option.some)),
      onSuccess: () => ended
    })
    this.#wake()
  }

  /**
   * Pulls the events after the event `after`, and waits for new events until the end. If the whole turn has fewer than
   * `after` events, the reader read them from an earlier attempt of the turn, so it receives only `Finish`.
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
      if (this.#end === undefined) return Effect.zipRight(this.#waitForEvents(position), next)
      const finish = position > this.#events.length ? this.#events.filter(isFinish) : []
      if (finish.length === 0) return this.#end
      const seq = position + 1
      position = this.#events.length
      return Effect.succeed(finish.map((event) => ({ seq, event })))
    })
    return next
  }

  /**
   * Waits for events after a position or for the end. Checks both again, because they may arrive before the wait begins.
   */
  #waitForEvents(position: number): Effect.Effect<void> {
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

/** A log that has ended with these events. */
const ofEvents = (events: ReadonlyArray<ChatEvent>): TurnLog => {
  const log = new TurnLog()
  log.add(events)
  log.end(Exit.void)
  return log
}

/**
 * Pulls the events of a stored turn after the event `after`. The live turn may have had more events than the stored one. A
 * reader that already received at least as many events receives only `Finish`, which has the complete response.
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
