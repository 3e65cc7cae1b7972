/**
 * Turns by ids that the program knows: a turn that is stored is read again, one that runs is joined, and others begin.
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
import { type FoundTurn, isSame, type TurnInput } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import { replay, type TurnLog } from "./log.ts"
import type { Opening as TurnOpening } from "./opening.ts"
import { type Ask, goesOn, notBlank, type Runner } from "./run.ts"
import type { Run, RunningTurn, RunningTurns } from "./runningTurns.ts"
import { asks, eventsOf, isComplete, isSameInput, partsOf, responseOf } from "./storedTurns.ts"
import type { Turn } from "./turn.ts"

/** The opening of a turn with an id. */
export interface Opening extends TurnOpening {
  readonly turnId: string
}

/** Another program stored the turn before this one began. */
interface AlreadyStored {
  readonly _tag: "AlreadyStored"
  readonly response: ChatResponse
}

/** A turn whose answers come as one response each. */
export const whole = <A>(runner: Runner, opening: Opening, ask: Ask<A>): Run => (running) => {
  const { log } = running
  let turn: Turn | undefined
  const check = (begun: Turn) =>
    Effect.map(unlessStored(opening)(begun), (checked) => {
      checked.emit = (event) => Effect.sync(() => log.add([event]))
      return turn = checked
    })
  const logged: Ask<A> = (complete, request) =>
    Effect.tap(ask(complete, request), ({ response }) => Effect.sync(() => log.add(partsOf(response))))
  return settled(
    runner,
    opening,
    log,
    Effect.map(
      moving(runner, running).whole(opening, logged, check),
      ({ response }) => log.add([...turn?.ending ?? [], finishEvent(response)])
    )
  )
}

/** A turn whose answer is streamed. */
export const streamed = (runner: Runner, opening: Opening): Run => (turn) =>
  settled(
    runner,
    opening,
    turn.log,
    Effect.scopedWith((scope) =>
      Effect.flatMap(
        moving(runner, turn).stream(opening, scope, identity<ReadonlyArray<ChatEvent>>, unlessStored(opening)),
        (pull) => drain(pull, turn.log)
      )
    )
  )

/** A turn whose conversation was removed while it waited begins in the next one, which knows it then. */
const moving = (runner: Runner, turn: RunningTurn): Runner =>
  runner.over({
    ...runner.lender,
    acquire: (scope) =>
      Effect.tap(runner.lender.acquire(scope), ({ running }) => Effect.sync(() => running.adopt(turn)))
  })

const drain = (pull: Pull<ChatEvent, ChatError>, log: TurnLog): Effect.Effect<void, ChatError> =>
  Effect.catchAll(
    Effect.forever(Effect.map(pull, (events) => log.add(events))),
    Option.match({ onNone: () => Effect.void, onSome: Effect.fail })
  )

/** The events of the turn with this id, which begins now unless it is stored or runs. */
export const join = (
  { lender }: Runner,
  opening: Opening,
  run: Run,
  scope: Scope.Scope
): Effect.Effect<Pull<NumberedEvent, ChatError>, ChatError> =>
  Effect.gen(function*() {
    yield* valid(opening)
    const conversation = yield* lender.acquire(scope)
    const { running } = conversation
    const found = yield* findStored(conversation, opening)
    if (found !== undefined) {
      const events = yield* answering(found, opening)
      if (isComplete(found)) return replay(events, 0)
    }
    return yield* unlessAnother(running, opening, running.join(opening.turnId, opening.input, run, scope))
  })

/** Fails if a turn with another prompt runs under the id. */
const unlessAnother = <A>(
  running: RunningTurns,
  { input, turnId }: Opening,
  effect: Effect.Effect<A>
): Effect.Effect<A, InvalidRequestError> =>
  Effect.suspend(() => {
    const known = running.get(turnId)
    return known === undefined || isSameQuestion(known.input, input) ? effect : anotherPrompt(turnId)
  })

/** Starts the turn, unless it is stored or runs. It goes on without listeners. */
export const start = ({ lender }: Runner, opening: Opening, run: Run): Effect.Effect<void, ChatError> =>
  Effect.zipRight(
    valid(opening),
    lender.with((conversation) =>
      Effect.gen(function*() {
        const { running } = conversation
        if (running.get(opening.turnId) === undefined) {
          const found = yield* findStored(conversation, opening)
          if (found !== undefined) yield* answering(found, opening)
          if (found !== undefined && isComplete(found)) return
          if (running.get(opening.turnId) === undefined) yield* conversation.accepts
        }
        yield* unlessAnother(running, opening, running.start(opening.turnId, opening.input, run))
      })
    )
  )

/** The turn with this id, if it is stored and neither runs nor goes on. */
const findStored = (
  conversation: Conversation,
  { input, turnId }: Opening
): Effect.Effect<FoundTurn | undefined, ChatError> =>
  goesOn(input) || conversation.running.get(turnId) !== undefined
    ? Effect.succeed(undefined)
    : conversation.find(turnId)

/** The events of a turn that runs or is stored, behind a number. None if no turn runs and no id is given. */
export const attach = (
  { lender }: Runner,
  turnId: string | undefined,
  after: number,
  scope: Scope.Scope
): Effect.Effect<Pull<NumberedEvent, ChatError>, ChatError> =>
  Effect.gen(function*() {
    const conversation = yield* lender.acquire(scope)
    const { running } = conversation
    const live = yield* running.listen(turnId, seqOf(after), scope)
    if (live !== undefined) return live
    if (turnId === undefined) return ended
    const found = yield* conversation.find(turnId)
    const failure = found !== undefined && isComplete(found) ? undefined : running.failure(turnId)
    if (failure !== undefined) return yield* Effect.as(failure, ended)
    if (found !== undefined) return replay(eventsOf(responseOf(found)), seqOf(after))
    return yield* new InvalidRequestError({
      message: `The conversation has no turn with the id ${JSON.stringify(turnId)}`
    })
  })

/** A number of an event. A text that was none, such as the header of a reader that has no events yet, is 0. */
const seqOf = (after: number): number =>
  Number.isNaN(after) ? 0 : Math.min(Math.max(0, Math.trunc(after)), Number.MAX_SAFE_INTEGER - 1)

/** Whether the turn is to be asked, now that it holds the lock. */
const unlessStored = (opening: Opening) => (turn: Turn): Effect.Effect<Turn, ChatError | AlreadyStored> => {
  if (goesOn(opening.input)) return Effect.succeed(turn)
  const again = turn.wait(turn.conversation.findAgain(opening.turnId))
  const checked = Effect.flatMap(again, (again) => {
    if (again === undefined || !isComplete(again.found)) {
      const { keepTurns } = turn.question
      if (again !== undefined && keepTurns !== undefined && again.found.index < keepTurns) return anotherPrompt(turn.id)
      const others = keepTurns === undefined ? again?.others : undefined
      turn.question = { ...turn.question, ...others, isUnchecked: false }
      return again === undefined ? Effect.succeed(turn) : Effect.as(answering(again.found, opening), turn)
    }
    const stored = Effect.map(answering(again.found, opening), () => responseOf(again.found))
    return Effect.zipRight(
      turn.withdraw,
      Effect.flatMap(stored, (response) => Effect.fail<AlreadyStored>({ _tag: "AlreadyStored", response }))
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

/** Writes the answer that another program stored, if it was faster. */
const settled = (
  { lender }: Runner,
  opening: Opening,
  log: TurnLog,
  turn: Effect.Effect<void, ChatError | AlreadyStored>
): Effect.Effect<void, ChatError> =>
  turn.pipe(
    Effect.catchTag("AlreadyStored", ({ response }) => Effect.sync(() => log.add(eventsOf(response)))),
    Effect.catchTag("ConflictError", (error) =>
      lender.with((conversation) =>
        Effect.flatMap(conversation.find(opening.turnId), (found): Effect.Effect<void, ChatError> => {
          if (found === undefined || !isComplete(found)) {
            return Effect.fail(error)
          }
          conversation.giveUp(opening.turnId)
          return Effect.map(
            answering(found, opening),
            () =>
              log.add(log.last === 0 ? eventsOf(responseOf(found)) : [finishEvent(responseOf(found))])
          )
        })
      ))
  )

/** The events of a stored turn, if it answers this prompt. */
const answering = (found: FoundTurn, { input, turnId }: Opening) => {
  const prompt = promptOf(input)
  return prompt === undefined || asks(found, prompt)
    ? Effect.succeed(eventsOf(responseOf(found)))
    : anotherPrompt(turnId)
}

/** What is asked, undefined for a question that is asked again. */
const promptOf = (input: Input): TurnInput | undefined => {
  if (typeof input === "string" || !("_tag" in input)) return fromPrompt(input)
  return input._tag === "Replace" ? fromPrompt(input.prompt) : undefined
}

const isSameQuestion = (some: Input, other: Input): boolean => {
  if (goesOn(some) || goesOn(other)) return isSame(some, other)
  const [one, another] = [promptOf(some), promptOf(other)]
  return one === undefined || another === undefined ? isSame(some, other) : isSameInput(one, another)
}

const anotherPrompt = (turnId: string): Effect.Effect<never, InvalidRequestError> =>
  Effect.fail(
    new InvalidRequestError({ message: `The turn ${JSON.stringify(turnId)} has another prompt: give each its own id` })
  )

const valid = ({ input, turnId }: Opening): Effect.Effect<unknown, InvalidRequestError> =>
  turnId === ""
    ? Effect.fail(new InvalidRequestError({ message: "turnId: must not be empty" }))
    : notBlank(input)

/** The response of the turn whose events are pulled. */
export const responseIn = (
  pull: Pull<NumberedEvent, ChatError>
): Effect.Effect<ChatResponse, ChatError> => {
  const next: Effect.Effect<ChatResponse, Option.Option<ChatError>> = Effect.flatMap(pull, (events) => {
    const last = events.at(-1)?.event
    return last !== undefined && isFinish(last) ? Effect.succeed(last.response) : next
  })
  // Every turn that ends without an error has a Finish.
  return Effect.catchAll(next, Option.match({ onNone: () => Effect.never, onSome: Effect.fail }))
}
