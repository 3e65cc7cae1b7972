import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { TurnLog } from "../../../src/internal/turn/turnLog.ts"
import { atOperations, value } from "../../support/stage.ts"

describe("A reader of a turn's log", () => {
  it.effect("misses neither events nor the end, whenever they arrive", () =>
    Effect.gen(function*() {
      const operations = yield* atOperations((after) => after + 1, (stage, after) =>
        Effect.sync(() => {
          const log = new TurnLog()
          const read: Array<number> = []
          const next = Effect.map(log.pull(0), (events) => events.forEach(({ seq }) => read.push(seq)))
          const reader = stage.fork(Effect.ignore(Effect.forever(next)))
          const end = (): void => {
            log.add([{ _tag: "TextDelta", text: "a" }])
            log.end(Exit.void)
          }
          stage.breakIn(after, end)
          stage.settle()
          if (!stage.brokeIn()) end()
          stage.leaveAlone()
          stage.settle()
          value(reader, "the reader")
          assert.deepStrictEqual(read, [1])
        }))

      assert.isAbove(operations, 5)
    }))
})
