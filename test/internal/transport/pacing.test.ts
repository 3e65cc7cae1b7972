import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { pacedBody, pacedPull } from "../../../src/internal/transport/pacing.ts"
import type * as Body from "../../../src/internal/transport/responseBody.ts"

const batchSize = 2 ** 16

/** A body whose bytes are all available at once. */
const bodyOf = (...sizes: ReadonlyArray<number>): Body.Body => {
  const rest = sizes.map((size, index) => new Uint8Array(size).fill(index))
  let pending: Uint8Array | undefined
  return {
    read: (take) => {
      const next = pending ?? rest.shift() ?? Option.none()
      pending = undefined
      if (!take(next) && next instanceof Uint8Array) pending = next
    },
    close: Effect.void
  }
}

/** Reads to the end. Returns the sizes of the reads, and the turns of the event loop between them. */
const readAll = (body: Body.Body): Promise<ReadonlyArray<string>> =>
  new Promise((resolve) => {
    const log: Array<string> = []
    const immediate = (): void =>
      void setImmediate(() => {
        if (log.at(-1) === "end") return
        log.push("turn")
        immediate()
      })
    immediate()
    const next = (): void =>
      body.read((read) => {
        if (read instanceof Uint8Array) {
          log.push(`${read.length} of ${read[0]}`)
          next()
        } else {
          log.push("end")
          resolve(log)
        }
        return true
      })
    next()
  })

describe("a paced body", () => {
  it("yields to the event loop after each batch, and splits longer chunks", async () => {
    const log = await readAll(pacedBody(bodyOf(10, 20, batchSize, 2 * batchSize + 1)))
    assert.deepStrictEqual(log, [
      "10 of 0",
      "20 of 1",
      `${batchSize} of 2`,
      "turn",
      `${batchSize} of 3`,
      "turn",
      `${batchSize} of 3`,
      "turn",
      "1 of 3",
      "end"
    ])
  })

  it("keeps unread data, for long and short chunks", async () => {
    for (const size of [10, 3 * batchSize]) {
      const body = pacedBody(bodyOf(size))
      body.read(() => false)
      const reads = (await readAll(body)).filter((entry) => entry.endsWith("of 0"))
      assert.strictEqual(reads.reduce((sum, read) => sum + parseInt(read, 10), 0), size)
    }
  })

  it("passes bytes once to a reader that reads again during the turn", async () => {
    const body = pacedBody(bodyOf(batchSize, 5, 6, 7))
    const log: Array<number> = []
    const take: Body.Take = (read) => {
      if (read instanceof Uint8Array) log.push(read.length)
      return true
    }
    body.read(take)
    body.read(take)
    body.read(take)
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    assert.deepStrictEqual(log, [batchSize, 5])
  })

  it("does the same if it is pulled", async () => {
    const chunks = [[new Uint8Array(10), new Uint8Array(20)], [new Uint8Array(2 * batchSize + 1)]]
    const pull = pacedPull(Effect.suspend(() => {
      const chunk = chunks.shift()
      return chunk === undefined ? Effect.fail(Option.none()) : Effect.succeed(chunk)
    }))
    const sizes: Array<number> = []
    let turns = 0
    const count = (): void =>
      void setImmediate(() => {
        turns++
        if (sizes.length < 5) count()
      })
    count()
    await Effect.runPromise(Effect.ignore(Effect.forever(Effect.map(pull, (chunk) => {
      for (const bytes of chunk) sizes.push(bytes.length)
    }))))
    assert.deepStrictEqual(sizes, [10, 20, batchSize, batchSize, 1])
    assert.isAtLeast(turns, 2)
  })
})
