/**
 * The turns of a conversation that have a log, by their ids: those that the manager started, and those whose ids the
 * program chose.
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
import { TurnLog } from "./log.ts"

/** A turn that runs in a fiber of its own. Mutable. */
export interface RunningTurn {
  readonly turnId: string
  readonly input: Input
  readonly log: TurnLog
  /** Whether it goes on without listeners. */
  isStarted: boolean
  listeners: number
  fiber: Fiber.Fiber<unknown> | undefined
  /** The turns of the conversation that it runs in, or waits for. */
  home: RunningTurns
}

/** Runs a turn that writes its events into its log. */
export type Run = (turn: RunningTurn) => Effect.Effect<void, ChatError>

/** The turns of one conversation. Mutable. */
export class RunningTurns {
  readonly #turns = new Map<string, RunningTurn>()
  /** The turn that failed last: those who come late learn why. */
  #failed: { readonly turnId: string; readonly exit: Exit.Exit<void, ChatError> } | undefined

  /** The turn with this id, by default the first that began. */
  get(turnId?: string): RunningTurn | undefined {
    return turnId === undefined ? this.#turns.values().next().value : this.#turns.get(turnId)
  }

  /** Forgets a turn that is over. */
  delete(turn: RunningTurn): void {
    if (this.#turns.get(turn.turnId) === turn) this.#turns.delete(turn.turnId)
  }

  /** How the turn failed, if it is the one that failed last. */
  failure(turnId: string): Exit.Exit<void, ChatError> | undefined {
    return this.#failed?.turnId === turnId ? this.#failed.exit : undefined
  }

  /** Begins a turn at once, unless one with this id runs. It goes on without listeners. */
  start(turnId: string, input: Input, run: Run): Effect.Effect<void> {
    return Effect.suspend(() => {
      const turn = this.#turns.get(turnId)
      if (turn === undefined) return this.#begin(this.#add(turnId, input, true), run)
      turn.isStarted = true
      return Effect.void
    }).pipe(Effect.uninterruptible)
  }

  /** The events of the turn with this id, which begins at once unless it runs. See `listen`. */
  join(
    turnId: string,
    input: Input,
    run: Run,
    scope: Scope.Scope
  ): Effect.Effect<Pull<NumberedEvent, ChatError>> {
    return Effect.suspend(() => {
      const known = this.#turns.get(turnId)
      const turn = known ?? this.#add(turnId, input, false)
      const pull = this.#listen(turn, 0, scope)
      return known === undefined ? Effect.zipRight(this.#begin(turn, run), pull) : pull
    }).pipe(Effect.uninterruptible)
  }

  /**
   * The events behind a number of the turn with this id, by default the first that began. Undefined if it does not run. The
   * turn has one more listener until the scope closes.
   */
  listen(
    turnId: string | undefined,
    after: number,
    scope: Scope.Scope
  ): Effect.Effect<Pull<NumberedEvent, ChatError> | undefined> {
    return Effect.suspend(() => {
      const turn = this.get(turnId)
      return turn === undefined ? Effect.succeed(turn) : this.#listen(turn, after, scope)
    }).pipe(Effect.uninterruptible)
  }

  /** Takes over a turn that was waiting for a conversation that is over, and begins in this one. */
  adopt(turn: RunningTurn): void {
    if (this.#turns.has(turn.turnId) || turn.home.get(turn.turnId) !== turn) return
    forget(turn)
    turn.home = this
    this.#turns.set(turn.turnId, turn)
  }

  #add(turnId: string, input: Input, isStarted: boolean): RunningTurn {
    const log = new TurnLog()
    const turn: RunningTurn = { turnId, input, log, isStarted, listeners: 0, fiber: undefined, home: this }
    this.#turns.set(turnId, turn)
    return turn
  }

  #begin(turn: RunningTurn, run: Run): Effect.Effect<void> {
    const end = (exit: Exit.Exit<void, ChatError>) =>
      Effect.sync(() => {
        forget(turn)
        turn.home.#ended(turn.turnId, exit)
        turn.log.end(exit)
      })
    return Effect.map(detach(Effect.exit(Effect.onExit(run(turn), end))), (fiber) => {
      turn.fiber = fiber
    })
  }

  /** An interruption is no reason to tell: nobody was there, or the manager is gone. */
  #ended(turnId: string, exit: Exit.Exit<void, ChatError>): void {
    if (Exit.isFailure(exit) && !Cause.isInterruptedOnly(exit.cause)) this.#failed = { turnId, exit }
    else if (this.#failed?.turnId === turnId && Exit.isSuccess(exit)) this.#failed = undefined
  }

  /** Counts the listener at once: the turn must not end before. */
  #listen(turn: RunningTurn, after: number, scope: Scope.Scope): Effect.Effect<Pull<NumberedEvent, ChatError>> {
    turn.listeners++
    return Effect.as(Scope.addFinalizer(scope, leave(turn)), turn.log.pull(after))
  }
}

/** A turn that was not started ends when its last listener leaves. */
const leave = (turn: RunningTurn): Effect.Effect<unknown> =>
  Effect.suspend(() => {
    turn.listeners--
    if (turn.listeners > 0 || turn.isStarted || turn.fiber === undefined) return Effect.void
    forget(turn)
    return Fiber.interrupt(turn.fiber)
  })

const forget = (turn: RunningTurn): void => turn.home.delete(turn)

/** What a program is told of a turn that runs. */
export const told = (turn: RunningTurn | undefined) =>
  Option.map(Option.fromNullable(turn), ({ log, turnId }) => ({ turnId, seq: log.last }))
