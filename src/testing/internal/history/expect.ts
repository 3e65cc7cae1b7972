/**
 * Helpers for the cases of the HistoryStoreSuite: sample data, and assertions that fail with a {@link Mismatch}.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type { ConflictError, HistoryStoreError } from "../../../ChatError.ts"
import { assistant, type ChatMessage, user } from "../../../ChatMessage.ts"
import { type Usage } from "../../../ChatResponse.ts"
import { type Append, HistoryStore, type Service, type StoredConversation } from "../../../HistoryStore.ts"

/**
 * The store returned something unexpected. Test frameworks show the difference of `actual` and `expected`.
 *
 * @since 0.1.0
 * @category errors
 */
export class Mismatch extends Data.TaggedError("HistoryStoreMismatch")<{
  readonly message: string
  readonly actual: unknown
  readonly expected: unknown
}> {}

/** The errors of a case. */
export type Failure = Mismatch | HistoryStoreError | ConflictError

export const equal = (subject: string, actual: unknown, expected: unknown): Effect.Effect<void, Mismatch> =>
  Effect.suspend(() => {
    const [actualJson, expectedJson] = [canonical(actual), canonical(expected)]
    if (actualJson === expectedJson) return Effect.void
    const message = `${subject} differs from the expected value`
    if (actualJson.length + expectedJson.length < maxShownLength) {
      return Effect.fail(new Mismatch({ message, actual, expected }))
    }
    let at = 0
    while (actualJson[at] === expectedJson[at]) at++
    const excerpt = (text: string): string => text.slice(Math.max(0, at - 100), at + 100)
    return Effect.fail(
      new Mismatch({
        message: `${message}, from character ${at} on`,
        actual: excerpt(actualJson),
        expected: excerpt(expectedJson)
      })
    )
  })

/** Longer JSON is shown only around the first difference: test frameworks take minutes to compare megabytes. */
const maxShownLength = 50_000

/** JSON with sorted keys and without undefined members, to compare values. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.entries(part).filter(([, value]) => value !== undefined).sort(([a], [b]) => a < b ? -1 : 1)
      : part) ?? "undefined"

/** An id that is used in no other case and in no other run. */
export const freshId: Effect.Effect<string> = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(0, 2 ** 31), 4),
  (parts) => `suite-${parts.map((part) => part.toString(36).padStart(6, "0")).join("")}`
)

export const usageOf = (tokens: number): Usage => ({
  inputTokens: tokens,
  outputTokens: 2 * tokens,
  totalTokens: 3 * tokens,
  reasoningTokens: 0,
  cachedTokens: 0,
  estimated: false,
  raw: null
})

/** The messages of a turn with this prompt. */
export const messagesOf = (
  prompt: string
): ReadonlyArray<ChatMessage> => [user(prompt), assistant(`You said: ${prompt}`)]

/** A turn to append, with defaults for everything except its id and version. */
export const turn = (
  id: string,
  expectedVersion: number,
  overrides?: Partial<Append>
): Append => ({
  id,
  expectedVersion,
  messages: messagesOf(`turn ${expectedVersion + 1}`),
  usage: usageOf(expectedVersion + 1),
  systemPrompt: "Be brief.",
  settings: { model: "m" },
  ...overrides
})

/** The conversation. Fails if it does not exist. */
export const loadExisting = (store: Service, id: string): Effect.Effect<StoredConversation, Failure> =>
  Effect.flatMap(
    store.load(id),
    Option.match({
      onNone: () =>
        Effect.fail(
          new Mismatch({
            message: "A conversation that was stored is gone",
            actual: undefined,
            expected: id.slice(0, 99)
          })
        ),
      onSome: Effect.succeed
    })
  )

/** The conversation without the values that the store chooses: times, ids of turns and the incarnation. */
export const loadData = (store: Service, id: string) =>
  Effect.map(
    loadExisting(store, id),
    ({ createdAt: _created, incarnation: _incarnation, turns: _turns, updatedAt: _updated, ...rest }) => rest
  )

/** Asserts that a write fails with a `ConflictError` with these versions. */
export const expectConflict = <A>(
  write: Effect.Effect<A, HistoryStoreError | ConflictError>,
  expected: { readonly conversationId: string; readonly expectedVersion: number; readonly actualVersion: number }
): Effect.Effect<void, Failure> =>
  Effect.flatMap(Effect.sandbox(Effect.either(write)).pipe(Effect.mapError(defect)), (outcome) => {
    const error = outcome._tag === "Left" ? outcome.left : undefined
    const actual = error?._tag === "ConflictError"
      ? {
        conversationId: error.conversationId,
        expectedVersion: error.expectedVersion,
        actualVersion: error.actualVersion
      }
      : outcome
    return equal("The outcome of a write for another version", actual, expected)
  })

const defect = (cause: Cause.Cause<never>): Mismatch =>
  new Mismatch({ message: "A write died", actual: Cause.pretty(cause), expected: "a failure" })

/** How often each of these ids is listed. */
export const countListed = (
  store: Service,
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<number>, HistoryStoreError> => {
  const idSet = new Set(ids)
  return store.list.pipe(
    Stream.filter((id) => idSet.has(id)),
    Stream.runCollect,
    Effect.map((listedIds) => ids.map((id) => Array.from(listedIds).filter((other) => other === id).length))
  )
}

/** A behaviour and its test. */
export interface Case {
  readonly name: string
  readonly test: Effect.Effect<void, Failure, HistoryStore>
}

/** A case with its own conversation, which is removed afterwards. */
export const testOne = (
  name: string,
  test: (store: Service, id: string) => Effect.Effect<void, Failure>
): Case => ({
  name,
  test: Effect.gen(function*() {
    const store = yield* HistoryStore
    const id = yield* freshId
    yield* Effect.ensuring(test(store, id), Effect.ignore(store.remove(id)))
  })
})

/** A case with its own conversations, which are removed afterwards. */
export const testMany = (
  name: string,
  count: number,
  test: (store: Service, ids: ReadonlyArray<string>) => Effect.Effect<void, Failure>
): Case =>
  testOne(name, (store, prefix) => {
    const ids = Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
    return Effect.ensuring(test(store, ids), Effect.ignore(Effect.forEach(ids, store.remove, { concurrency: 10 })))
  })
