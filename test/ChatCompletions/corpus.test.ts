import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { type Aspect, aspects, compare, differences, play } from "../support/comparison.ts"
import { type Case, cases, isPresent } from "../support/corpus.ts"
import { generated } from "../support/generated.ts"
import { cut, generator } from "../support/playback.ts"

const seed = 20261122

const randomChunks = (recorded: Case): ReadonlyArray<Uint8Array> =>
  cut(recorded.body, Math.max(8, Math.ceil(recorded.body.length / 100)), generator(seed))

const agrees = (recorded: Case, chunks: ReadonlyArray<Uint8Array>) =>
  Effect.map(play(recorded, chunks), (outcome) => {
    const actual = JSON.stringify(Either.merge(outcome))
    assert.deepStrictEqual(differences(recorded, outcome), [], actual)
  })

const cell = (compared: ReadonlyArray<Partial<Record<Aspect, boolean>>>, aspect: Aspect): string => {
  const applicable = compared.filter((result) => result[aspect] !== undefined)
  return applicable.length === 0 ? "" : `${applicable.filter((result) => result[aspect]).length} / ${applicable.length}`
}

/** The table of `docs/conformance.md`: for each aspect, how many of the recordings that have it agree. */
const table = (compared: ReadonlyArray<readonly [Case, Partial<Record<Aspect, boolean>>]>): string => {
  const row = (name: string, group: typeof compared): string => {
    const results = group.map((pair) => pair[1])
    return `| ${name} | ${group.length} | ${aspects.map((aspect) => cell(results, aspect)).join(" | ")} |`
  }
  const servers = Array.from(new Set(compared.map(([recorded]) => recorded.provider))).sort()
  return [
    `| server | recordings | ${aspects.join(" | ")} |`,
    `|${" --- |".repeat(aspects.length + 2)}`,
    ...servers.map((server) => row(server, compared.filter(([recorded]) => recorded.provider === server))),
    row("**all**", compared)
  ].join("\n")
}

describe.skipIf(!isPresent)(`Recorded answers${isPresent ? "" : " (skipped: ../shared/corpus is absent)"}`, () => {
  for (const recorded of cases) {
    it.effect(`${recorded.id} is read as recorded in one chunk`, () => agrees(recorded, [recorded.body]))

    it.effect(`${recorded.id} is read as recorded in random chunks`, () => agrees(recorded, randomChunks(recorded)))
  }

  it.effect("the recordings agree as docs/conformance.md says", () =>
    Effect.gen(function*() {
      const compared = yield* Effect.forEach(cases, (recorded) =>
        Effect.map(play(recorded, randomChunks(recorded)), (outcome) =>
          [recorded, compare(recorded, outcome)] as const))

      yield* generated("conformance.md", table(compared))
    }), 60_000)
})
