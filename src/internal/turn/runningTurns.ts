/**
 * The turns of a conversation that have a log, by their ids: those that the manager started, and those whose ids the
 * program chose.
 */
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
}

/** Runs a turn that writes its events into the log. */
export type Run = (log: TurnLog) => Effect.Effect<void, ChatError>

/** The turns of one conversation. Mutable. */
export class RunningTurns {
  readonly #turns = new Map<string, RunningTurn>()
  /** The turn that failed last: those who come late learn why. */
  #failed: { readonly turnId: string; readonly exit: Exit.Exit<void, ChatError> } | undefined

  /** The turn with this id, by default the first that began. */
  get(turnId?: string): RunningTurn | undefined {
    return turnId === undefined ? this.#turns.values().next().value : this.#turns.get(turnId)
  }

  /** How the turn failed, if it is the one that failed last. */
  failure(turnId: string): Exit.Exit<void, ChatError> | undefined {
    return this.#failed?.turnId === turnId ? this.#failed.exit : undefined
  }

  /** Begins a turn at once, unless one with this id runs. */
  begin(turnId: string, input: Input, isStarted: boolean, run: Run): Effect.Effect<RunningTurn> {
    return Effect.suspend(() => {
      const known = this.#turns.get(turnId)
      if (known !== undefined) {
        known.isStarted ||= isStarted
        return Effect.succeed(known)
      }
      const turn: RunningTurn = { turnId, input, log: new TurnLog(), isStarted, listeners: 0, fiber: undefined }
      this.#turns.set(turnId, turn)
      if (this.#failed?.turnId === turnId) this.#failed = undefined
      const end = (exit: Exit.Exit<void, ChatError>) =>
        Effect.sync(() => {
          this.#forget(turn)
          if (Exit.isFailure(exit)) this.#failed = { turnId, exit }
          turn.log.end(exit)
        })
      return Effect.map(detach(Effect.exit(Effect.onExit(run(turn.log), end))), (fiber) => {
        turn.fiber = fiber
        return turn
      })
    })
  }

  /** The events of the turn behind a number. The turn has one more listener until the scope closes. */
  listen(turn: RunningTurn, after: number, scope: Scope.Scope): Effect.Effect<Pull<NumberedEvent, ChatError>> {
    return Effect.suspend(() => {
      turn.listeners++
      return Effect.as(Scope.addFinalizer(scope, this.#leave(turn)), turn.log.pull(after))
    }).pipe(Effect.uninterruptible)
  }

  /** A turn that was not started ends when its last listener leaves. */
  #leave(turn: RunningTurn): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      turn.listeners--
      if (turn.listeners > 0 || turn.isStarted || turn.fiber === undefined) return Effect.void
      this.#forget(turn)
      return Fiber.interrupt(turn.fiber)
    })
  }

  #forget(turn: RunningTurn): void {
    if (this.#turns.get(turn.turnId) === turn) this.#turns.delete(turn.turnId)
  }
}

/** What a program is told of a turn that runs. */
export const told = (turn: RunningTurn | undefined) =>
  Option.map(Option.fromNullable(turn), ({ log, turnId }) => ({ turnId, seq: log.last }))
