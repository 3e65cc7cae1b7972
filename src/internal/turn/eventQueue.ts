/**
 * A queue that passes the events of running handlers to the consumer of their turn, and then the result of the run.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { ToolEvent } from "../../ChatEvent.ts"

/** The events since the last read, and the result of the run if it has ended. */
export interface Batch<A, E> {
  readonly events: ReadonlyArray<ToolEvent>
  readonly exit: Exit.Exit<A, E> | undefined
}

/** A queue with one reader. Mutable. */
export class EventQueue<A, E> {
  #events: Array<ToolEvent> = []
  #exit: Exit.Exit<A, E> | undefined
  #wake: (() => void) | undefined

  readonly emit = (event: ToolEvent): Effect.Effect<void> =>
    Effect.sync(() => {
      this.#events.push(event)
      this.#wake?.()
    })

  /** Runs the effect. Its result ends the queue. */
  run(effect: Effect.Effect<A, E>): Effect.Effect<void> {
    return Effect.map(Effect.exit(effect), (exit) => {
      this.#exit = exit
      this.#wake?.()
    })
  }

  /** Waits for events or for the end. */
  readonly next: Effect.Effect<Batch<A, E>> = Effect.suspend(() =>
    this.#events.length > 0 || this.#exit !== undefined ? this.#take : Effect.async((resume) => {
      this.#wake = () => resume(this.#take)
    })
  )

  get #take(): Effect.Effect<Batch<A, E>> {
    return Effect.sync(() => {
      const events = this.#events
      this.#events = []
      this.#wake = undefined
      return { events, exit: this.#exit }
    })
  }
}
