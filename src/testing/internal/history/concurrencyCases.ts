/**
 * Cases of the HistoryStoreSuite with several writers, and with interrupted ones.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { assistant, user } from "../../../ChatMessage.ts"
import { type Case, countListed, equal, type Failure, loadData, messagesOf, testMany, testOne, turn } from "./expect.ts"

const unbounded = { concurrency: "unbounded" } as const

const hundred = Array.from({ length: 100 }, (_, index) => index)

export const concurrencyCases: ReadonlyArray<Case> = [
  testOne(
    "exactly one of a hundred turns for the same version is stored, and the others are conflicts",
    (store, id) =>
      Effect.gen(function*() {
        for (const expectedVersion of [0, 1]) {
          const attempts = hundred.map((index) =>
            Effect.either(store.append(turn(id, expectedVersion, { messages: messagesOf(`writer ${index}`) })))
          )
          const outcomes = yield* Effect.all(attempts, unbounded)
          const winners = outcomes.flatMap((outcome, index) => Either.isRight(outcome) ? [index] : [])
          const losers = outcomes.filter(Either.isLeft).map(({ left }) =>
            left._tag === "ConflictError" ? [left.expectedVersion, left.actualVersion] : left
          )
          yield* equal("The number of stored turns", winners.length, 1)
          yield* equal("The outcomes of the others", losers, losers.map(() => [expectedVersion, expectedVersion + 1]))
          const { messages, version } = yield* loadData(store, id)
          yield* equal("The version", version, expectedVersion + 1)
          yield* equal("The last turn", messages.slice(-2), messagesOf(`writer ${winners[0]}`))
          yield* equal("The number of messages", messages.length, 2 * version)
        }
      })
  ),

  testOne(
    "ten writers that reload after each conflict lose no turn and store none twice",
    (store, id) =>
      Effect.gen(function*() {
        const append = (prompt: string): Effect.Effect<void, Failure> =>
          store.load(id).pipe(
            Effect.map(Option.match({ onNone: () => 0, onSome: ({ version }) => version })),
            Effect.flatMap((version) => store.append(turn(id, version, { messages: messagesOf(prompt) }))),
            Effect.catchTag("ConflictError", () => append(prompt))
          )
        const writers = hundred.slice(0, 10).map((writer) =>
          Effect.forEach([1, 2, 3, 4, 5], (n) => append(`${writer}.${n}`), { discard: true })
        )
        yield* Effect.all(writers, unbounded)
        const { messages, version } = yield* loadData(store, id)
        const prompts = messages.flatMap((message) => message.role === "user" ? [message.content] : [])
        yield* equal("The version", version, 50)
        yield* equal("The number of turns", [prompts.length, new Set(prompts).size, messages.length], [50, 50, 100])
        for (const writer of hundred.slice(0, 10)) {
          const own = prompts.filter((text) => typeof text === "string" && text.startsWith(`${writer}.`))
          yield* equal("The turns of a writer", own, [1, 2, 3, 4, 5].map((n) => `${writer}.${n}`))
        }
      })
  ),

  testMany(
    "a hundred conversations at the same time do not affect each other",
    100,
    (store, ids) =>
      Effect.gen(function*() {
        const appendTurns = (id: string) =>
          Effect.forEach(
            [0, 1, 2],
            (version) => store.append(turn(id, version, { messages: messagesOf(`${id} ${version}`) }))
          )
        yield* Effect.forEach(ids, appendTurns, unbounded)
        const stored = yield* Effect.forEach(ids, (id) => loadData(store, id), unbounded)
        for (const { id, messages, version } of stored) {
          yield* equal("The version", version, 3)
          yield* equal("The messages", messages, [0, 1, 2].flatMap((version) => messagesOf(`${id} ${version}`)))
        }
        yield* equal("How often each is listed", yield* countListed(store, ids), ids.map(() => 1))
      })
  ),

  testOne(
    "a read during a write returns the conversation before or after the write",
    (store, id) =>
      Effect.gen(function*() {
        const long = (n: number) => [user(`${n}`.repeat(100_000)), assistant(`${n}`)]
        yield* store.append(turn(id, 0, { messages: long(0) }))
        const writer = yield* Effect.forEach([1, 2, 3, 4, 5, 6], (version) =>
          version === 4
            ? store.clear({ id, expectedVersion: version })
            : store.append(turn(id, version, { messages: long(version) }))).pipe(Effect.fork)
        let version = 0
        while (version < 7) {
          const stored = yield* loadData(store, id)
          const turns = [0, 1, 2, 3, 5, 6].filter((n) => n < stored.version && (stored.version < 5 || n > 4))
          yield* equal(`The messages of version ${stored.version}`, stored.messages, turns.flatMap(long))
          yield* equal("Whether versions only rise", stored.version >= version, true)
          version = stored.version
          if (Option.isSome(yield* Fiber.poll(writer))) yield* Fiber.join(writer)
          yield* Effect.yieldNow()
        }
        yield* Fiber.join(writer)
      })
  ),

  testOne(
    "an interrupted write stores all or nothing, and the store still works",
    (store, id) =>
      Effect.gen(function*() {
        const messages = hundred.slice(0, 10).flatMap((index) => messagesOf(`${index}`))
        // Interrupts the write later each time: after a number of yields, and then after a number of reads.
        for (let steps = 0; steps < 40; steps++) {
          const before = Option.getOrUndefined(yield* store.load(id))
          const version = before?.version ?? 0
          const writer = yield* Effect.fork(store.append(turn(id, version, { messages })))
          yield* Effect.replicateEffect(Effect.yieldNow(), steps % 20)
          if (steps >= 20) yield* Effect.replicateEffect(store.load(`${id}-other`), steps - 20)
          yield* Fiber.interrupt(writer)
          const after = Option.getOrUndefined(yield* store.load(id))
          const isWritten = after?.version === version + 1
          yield* equal(
            "The conversation after it",
            [after?.version ?? 0, after?.messages.length ?? 0],
            [isWritten ? version + 1 : version, (before?.messages.length ?? 0) + (isWritten ? messages.length : 0)]
          )
        }
        const version = Option.match(yield* store.load(id), { onNone: () => 0, onSome: (stored) => stored.version })
        yield* equal("The version of the next turn", yield* store.append(turn(id, version)), version + 1)
      })
  ),

  testMany(
    "a conversation is listed exactly once while others are written and removed",
    60,
    (store, ids) =>
      Effect.gen(function*() {
        const [keptIds, removedIds] = [ids.slice(0, 40), ids.slice(40)]
        yield* Effect.forEach(keptIds, (id) => store.append(turn(id, 0)), { concurrency: 10 })
        const writers = yield* Effect.forEach(removedIds, (id, index) =>
          Effect.all([
            store.append(turn(id, 0)),
            store.append(turn(keptIds[index] ?? id, 1)),
            store.remove(id)
          ], { discard: true })).pipe(Effect.fork)
        const counts = yield* Effect.replicateEffect(countListed(store, keptIds), 5)
        yield* Fiber.join(writers)
        yield* equal("How often each is listed", counts, counts.map(() => keptIds.map(() => 1)))
      })
  ),

  testMany(
    "a list that is not read to its end does not affect later writes",
    3,
    (store, ids) =>
      Effect.gen(function*() {
        for (const id of ids) yield* store.append(turn(id, 0))
        yield* Stream.runHead(store.list)
        for (const id of ids) yield* equal("The version", yield* store.append(turn(id, 1)), 2)
      })
  )
]
