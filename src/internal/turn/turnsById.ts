/**
 * Turns with ids that the program chose. A stored turn is replayed, a running turn is joined, and any other turn starts.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type ChatError, InvalidRequestError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import { fromPrompt } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Input, NumberedEvent } from "../../Turn.ts"
import { finishEvent } from "../decode/response.ts"
import { ended, type Pull } from "../transport/stream.ts"
import type { TurnSpec } from "./beginTurn.ts"
import { type FoundTurn, isSame, type TurnInput } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import { type Ask, isRespond, requireContent, type Runner } from "./runner.ts"
import type { Run, RunningTurn, RunningTurns } from "./runningTurns.ts"
import { eventsBeforeFinish, eventsOf, hasInput, isComplete, isSameInput, responseOf } from "./storedTurns.ts"
import type { Turn } from "./turn.ts"
import { replay, type TurnLog } from "./turnLog.ts"

/** The specification of a turn with an id that the program chose. */
export interface TurnSpecWithId extends TurnSpec {
  readonly turnId: string
}

/** Another program stored a turn with this id before this turn sent a request. */
interface AlreadyStored {
  readonly _tag: "AlreadyStored"
  readonly response: ChatResponse
}

/** Runs a turn with complete answers, and adds its events to the log. */
export const complete = <A>(runner: Runner, spec: TurnSpecWithId, ask: Ask<A>): Run => (running) => {
  const { log } = running
  let turn: Turn | undefined
  const check = (begun: Turn) =>
    Effect.map(requireNotStored(spec)(begun), (checked) => {
      checked.emit = (event) => Effect.sync(() => log.add([event]))
      return turn = checked
    })
  const logged: Ask<A> = (complete, request) =>
    Effect.tap(ask(complete, request), ({ response }) => Effect.sync(() => log.add(eventsBeforeFinish(response))))
  return withStoredAnswer(
    runner,
    spec,
    log,
    Effect.map(
      adoptingRunner(runner, running).complete(spec, logged, check),
      ({ response }) => log.add([...turn?.finalEvents ?? [], finishEvent(response)])
    )
  )
}

/** Runs a turn with streamed answers, and adds its events to the log. */
export const stream = (runner: Runner, spec: TurnSpecWithId): Run => (turn) =>
  withStoredAnswer(
    runner,
    spec,
    turn.log,
    Effect.scopedWith((scope) =>
      Effect.flatMap(
        adoptingRunner(runner, turn).stream(spec, scope, identity<ReadonlyArray<ChatEvent>>, requireNotStored(spec)),
        (pull) => drain(pull, turn.log)
      )
    )
  )

/**
 * A runner that registers the turn with the conversation in which it begins. This is another conversation if the first one
 * was removed while the turn waited.
 */
const adoptingRunner = (runner: Runner, turn: RunningTurn): Runner =>
  runner.withLender({
    ...runner.lender,
    acquire: (scope) =>
      Effect.tap(runner.lender.acquire(scope), ({ runningTurns }) => Effect.sync(() => runningTurns.adopt(turn)))
  })

const drain = (pull: Pull<ChatEvent, ChatError>, log: TurnLog): Effect.Effect<void, ChatError> =>
  Effect.catchAll(
    Effect.forever(Effect.map(pull, (events) => log.add(events))),
    Option.match({ onNone: () => Effect.void, onSome: Effect.fail })
  )

/** Returns the events of the turn with this id, and starts it unless it is stored or running. */
export const join = (
  { lender }: Runner,
  spec: TurnSpecWithId,
  run: Run,
  scope: Scope.Scope
): Effect.Effect<Pull<NumberedEvent, ChatError>, ChatError> =>
  Effect.gen(function*() {
    yield* validate(spec)
    const conversation = yield* lender.acquire(scope)
    const { runningTurns } = conversation
    const found = yield* findStored(conversation, spec)
    if (found !== undefined) {
      const events = yield* eventsIfSamePrompt(found, spec)
      if (isComplete(found)) return replay(events, 0)
    }
    return yield* requireSamePrompt(runningTurns, spec, runningTurns.join(spec.turnId, spec.input, run, scope))
  })

/** Runs the effect. Fails if a running turn with the same id has another prompt. */
const requireSamePrompt = <A>(
  runningTurns: RunningTurns,
  { input, turnId }: TurnSpecWithId,
  effect: Effect.Effect<A>
): Effect.Effect<A, InvalidRequestError> =>
  Effect.suspend(() => {
    const known = runningTurns.get(turnId)
    return known === undefined || isSameTurnInput(known.input, input) ? effect : promptMismatch(turnId)
  })

/** Starts the turn, unless it is stored or running. It continues without readers. */
export const start = ({ lender }: Runner, spec: TurnSpecWithId, run: Run): Effect.Effect<void, ChatError> =>
  Effect.zipRight(
    validate(spec),
    lender.with((conversation) =>
      Effect.gen(function*() {
        const { runningTurns } = conversation
        if (runningTurns.get(spec.turnId) === undefined) {
          const found = yield* findStored(conversation, spec)
          if (found !== undefined) yield* eventsIfSamePrompt(found, spec)
          if (found !== undefined && isComplete(found)) return
          if (runningTurns.get(spec.turnId) === undefined) yield* conversation.checkPolicy
        }
        yield* requireSamePrompt(runningTurns, spec, runningTurns.start(spec.turnId, spec.input, run))
      })
    )
  )

/** Returns the stored turn with this id, or undefined if the turn is running or continues a stored turn. */
const findStored = (
  conversation: Conversation,
  { input, turnId }: TurnSpecWithId
): Effect.Effect<FoundTurn | undefined, ChatError> =>
  isRespond(input) || conversation.runningTurns.get(turnId) !== undefined
    ? Effect.succeed(undefined)
    : conversation.find(turnId)

/** Returns the events of a running or stored turn after the event `after`. The default is the oldest running turn. */
export const attach = (
  { lender }: Runner,
  turnId: string | undefined,
  after: number,
  scope: Scope.Scope
): Effect.Effect<Pull<NumberedEvent, ChatError>, ChatError> =>
  Effect.gen(function*() {
    const conversation = yield* lender.acquire(scope)
    const { runningTurns } = conversation
    const live = yield* runningTurns.attach(turnId, toSeq(after), scope)
    if (live !== undefined) return live
    if (turnId === undefined) return ended
    const found = yield* conversation.find(turnId)
    const failure = found !== undefined && isComplete(found) ? undefined : runningTurns.failure(turnId)
    if (failure !== undefined) return yield* Effect.as(failure, ended)
    if (found !== undefined) return replay(eventsOf(responseOf(found)), toSeq(after))
    return yield* new InvalidRequestError({
      message: `The conversation has no turn with the id ${JSON.stringify(turnId)}`
    })
  })

/** Converts to a valid event number. NaN is 0, because a program may parse it from an absent `Last-Event-ID` header. */
const toSeq = (after: number): number =>
  Number.isNaN(after) ? 0 : Math.min(Math.max(0, Math.trunc(after)), Number.MAX_SAFE_INTEGER - 1)

/**
 * Looks for a stored turn with this id, after the lock is acquired. Fails with `AlreadyStored` if it is complete. If it is
 * incomplete, this turn takes its position in the history.
 */
const requireNotStored = (spec: TurnSpecWithId) => (turn: Turn): Effect.Effect<Turn, ChatError | AlreadyStored> => {
  if (isRespond(spec.input)) return Effect.succeed(turn)
  const find = turn.untilStopped(turn.conversation.findWithOthers(spec.turnId))
  const checked = Effect.flatMap(find, (stored) => {
    if (stored === undefined || !isComplete(stored.found)) {
      const { keepTurns } = turn.question
      if (stored !== undefined && keepTurns !== undefined && stored.found.index < keepTurns) {
        return promptMismatch(turn.id)
      }
      const others = keepTurns === undefined ? stored?.others : undefined
      turn.question = { ...turn.question, ...others, mayBeStored: false }
      return stored === undefined ? Effect.succeed(turn) : Effect.as(eventsIfSamePrompt(stored.found, spec), turn)
    }
    const storedResponse = Effect.map(eventsIfSamePrompt(stored.found, spec), () => responseOf(stored.found))
    return Effect.zipRight(
      turn.cancel,
      Effect.flatMap(storedResponse, (response) => Effect.fail<AlreadyStored>({ _tag: "AlreadyStored", response }))
    )
  })
  return checked.pipe(
    Effect.catchTag(
      "HistoryStoreError",
      (error) => Effect.uninterruptibleMask((restore) => Effect.zipRight(turn.fail(error, restore), Effect.fail(error)))
    ),
    Effect.catchTag("Stopped", () => Effect.succeed(turn))
  )
}

/** Adds the events of the stored turn to the log if another program stored it first. */
const withStoredAnswer = (
  { lender }: Runner,
  spec: TurnSpecWithId,
  log: TurnLog,
  turn: Effect.Effect<void, ChatError | AlreadyStored>
): Effect.Effect<void, ChatError> =>
  turn.pipe(
    Effect.catchTag("AlreadyStored", ({ response }) => Effect.sync(() => log.add(eventsOf(response)))),
    Effect.catchTag("ConflictError", (error) =>
      lender.with((conversation) =>
        Effect.flatMap(conversation.find(spec.turnId), (found): Effect.Effect<void, ChatError> => {
          if (found === undefined || !isComplete(found)) {
            return Effect.fail(error)
          }
          conversation.discardUnsaved(spec.turnId)
          return Effect.map(
            eventsIfSamePrompt(found, spec),
            () =>
              log.add(log.last === 0 ? eventsOf(responseOf(found)) : [finishEvent(responseOf(found))])
          )
        })
      ))
  )

/** Returns the events of a stored turn. Fails if it has another prompt. */
const eventsIfSamePrompt = (found: FoundTurn, { input, turnId }: TurnSpecWithId) => {
  const prompt = promptOf(input)
  return prompt === undefined || hasInput(found, prompt)
    ? Effect.succeed(eventsOf(responseOf(found)))
    : promptMismatch(turnId)
}

/** The prompt of an input. Undefined for `Regenerate` and `Respond`, which have none. */
const promptOf = (input: Input): TurnInput | undefined => {
  if (typeof input === "string" || !("_tag" in input)) return fromPrompt(input)
  return input._tag === "Replace" ? fromPrompt(input.prompt) : undefined
}

const isSameTurnInput = (some: Input, other: Input): boolean => {
  if (isRespond(some) || isRespond(other)) return isSame(some, other)
  const [one, another] = [promptOf(some), promptOf(other)]
  return one === undefined || another === undefined ? isSame(some, other) : isSameInput(one, another)
}

const promptMismatch = (turnId: string): Effect.Effect<never, InvalidRequestError> =>
  Effect.fail(
    new InvalidRequestError({
      message: `The turn ${JSON.stringify(turnId)} has another prompt. Use a new id for a new prompt`
    })
  )

const validate = ({ input, turnId }: TurnSpecWithId): Effect.Effect<unknown, InvalidRequestError> =>
  turnId === ""
    ? Effect.fail(new InvalidRequestError({ message: "turnId: must not be empty" }))
    : requireContent(input)

/** Pulls the events of a turn until `Finish`, and returns its response. */
export const finalResponse = (
  pull: Pull<NumberedEvent, ChatError>
): Effect.Effect<ChatResponse, ChatError> => {
  const next: Effect.Effect<ChatResponse, Option.Option<ChatError>> = Effect.flatMap(pull, (events) => {
    const last = events.at(-1)?.event
    return last !== undefined && isFinish(last) ? Effect.succeed(last.response) : next
  })
  // The end of the events is never reached, because each turn without an error emits `Finish`.
  return Effect.catchAll(
    next,
    Option.match({ onNone: () => Effect.dieMessage("A turn ended without Finish"), onSome: Effect.fail })
  )
}
