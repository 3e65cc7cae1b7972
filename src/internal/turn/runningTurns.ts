/**
 * The running turns of a conversation that have an event log, by id. These are the turns that were started with `start`,
 * and the turns with an id that the program chose.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { ChatError } from "../../ChatError.ts"
import type { Input, NumberedEvent } from "../../Turn.ts"
import type { Pull } from "../transport/stream.ts"
import { detach } from "../transport/wait.ts"
import { TurnLog } from "./turnLog.ts"

/** A turn in its own fiber. Mutable. */
export interface RunningTurn {
  readonly turnId: string
  readonly input: Input
  readonly log: TurnLog
  /** Whether it was started with `start`, so that it continues without readers. */
  isStarted: boolean
  readers: number
  fiber: Fiber.Fiber<unknown> | undefined
  /** The collection that has this turn. It changes if the turn's conversation is removed while the turn waits. */
  parent: RunningTurns
}

/** Runs a turn and adds its events to its log. */
export type Run = (turn: RunningTurn) => Effect.Effect<void, ChatError>

/** The running turns of one conversation. Mutable. */
export class RunningTurns {
  readonly #turns = new Map<string, RunningTurn>()
  /** The last turn that failed, so that a reader that attaches later receives the error. */
  #lastFailure: { readonly turnId: string; readonly exit: Exit.Exit<void, ChatError> } | undefined

  /** The turn with this id. Default: the oldest. */
  get(turnId?: string): RunningTurn | undefined {
    return turnId === undefined ? this.#turns.values().next().value : this.#turns.get(turnId)
  }

  /** Removes a turn that has ended. */
  delete(turn: RunningTurn): void {
    if (this.#turns.get(turn.turnId) === turn) this.#turns.delete(turn.turnId)
  }

  /** The failure of the turn with this id, if it is the last turn that failed. */
  failure(turnId: string): Exit.Exit<void, ChatError> | undefined {
    return this.#lastFailure?.turnId === turnId ? this.#lastFailure.exit : undefined
  }

  /** Starts a turn, unless one with this id is running. The turn continues without readers. */
  start(turnId: string, input: Input, run: Run): Effect.Effect<void> {
    return Effect.suspend(() => {
      const turn = this.#turns.get(turnId)
      if (turn === undefined) return this.#begin(this.#add(turnId, input, true), run)
      turn.isStarted = true
      return Effect.void
    }).pipe(Effect.uninterruptible)
  }

  /**
   * Returns the events of the turn with this id, and starts it unless it is running. Counts a reader, as `attach` does.
   */
  join(
    turnId: string,
    input: Input,
    run: Run,
    scope: Scope.Scope
  ): Effect.Effect<Pull<NumberedEvent, ChatError>> {
    return Effect.suspend(() => {
      const known = this.#turns.get(turnId)
      const turn = known ?? this.#add(turnId, input, false)
      const pull = this.#addReader(turn, 0, scope)
      return known === undefined ? Effect.zipRight(this.#begin(turn, run), pull) : pull
    }).pipe(Effect.uninterruptible)
  }

  /**
   * Returns the events after the event `after` of the turn with this id (default: the oldest turn), or undefined if it is
   * not running. Counts a reader until the scope closes.
   */
  attach(
    turnId: string | undefined,
    after: number,
    scope: Scope.Scope
  ): Effect.Effect<Pull<NumberedEvent, ChatError> | undefined> {
    return Effect.suspend(() => {
      const turn = this.get(turnId)
      return turn === undefined ? Effect.succeed(turn) : this.#addReader(turn, after, scope)
    }).pipe(Effect.uninterruptible)
  }

  /** Moves a turn here from a conversation that was removed while the turn waited. */
  adopt(turn: RunningTurn): void {
    if (this.#turns.has(turn.turnId) || turn.parent.get(turn.turnId) !== turn) return
    removeTurn(turn)
    turn.parent = this
    this.#turns.set(turn.turnId, turn)
  }

  #add(turnId: string, input: Input, isStarted: boolean): RunningTurn {
    const log = new TurnLog()
    const turn: RunningTurn = { turnId, input, log, isStarted, readers: 0, fiber: undefined, parent: this }
    this.#turns.set(turnId, turn)
    return turn
  }

  #begin(turn: RunningTurn, run: Run): Effect.Effect<void> {
    const end = (exit: Exit.Exit<void, ChatError>) =>
      Effect.sync(() => {
        removeTurn(turn)
        turn.parent.#recordEnd(turn.turnId, exit)
        turn.log.end(exit)
      })
    return Effect.map(detach(Effect.exit(Effect.onExit(run(turn), end))), (fiber) => {
      turn.fiber = fiber
    })
  }

  /** Records a failure. Ignores an interruption, because it happens only without readers or when the manager closes. */
  #recordEnd(turnId: string, exit: Exit.Exit<void, ChatError>): void {
    if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) this.#lastFailure = { turnId, exit }
    else if (this.#lastFailure?.turnId === turnId && Exit.isSuccess(exit)) this.#lastFailure = undefined
  }

  /** Counts the reader synchronously, so that the turn cannot end before its first pull. */
  #addReader(turn: RunningTurn, after: number, scope: Scope.Scope): Effect.Effect<Pull<NumberedEvent, ChatError>> {
    turn.readers++
    return Effect.as(Scope.addFinalizer(scope, removeReader(turn)), turn.log.pull(after))
  }
}

/** Removes a reader. Interrupts a turn without readers, unless it was started with `start`. */
const removeReader = (turn: RunningTurn): Effect.Effect<unknown> =>
  Effect.suspend(() => {
    turn.readers--
    if (turn.readers > 0 || turn.isStarted || turn.fiber === undefined) return Effect.void
    removeTurn(turn)
    return Fiber.interrupt(turn.fiber)
  })

const removeTurn = (turn: RunningTurn): void => turn.parent.delete(turn)

/** Converts to the public `Turn.Running`. */
export const toRunning = (turn: RunningTurn | undefined) =>
  Option.map(Option.fromNullable(turn), ({ log, turnId }) => ({ turnId, seq: log.last }))
