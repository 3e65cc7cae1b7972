/**
 * The events of handlers that run beside the reader of their turn, and how the run ended.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { ToolEvent } from "../../ChatEvent.ts"

/** The events since the last read, and the end of the run once it has come. */
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

  /** Runs an effect to its end, which is the last thing that the queue has. */
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
