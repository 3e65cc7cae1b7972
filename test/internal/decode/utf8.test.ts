import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { Utf8 } from "../../../src/internal/decode/sse.ts"

const encode = (text: string) => new TextEncoder().encode(text)

/** Splits bytes into chunks at these positions. */
const chunks = (bytes: Uint8Array, positions: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const ends = [...new Set([...positions.map((at) => at % (bytes.length + 1)), bytes.length])].sort((
    a,
    b
  ) => a - b)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const read = (chunks: ReadonlyArray<Uint8Array>): string => {
  const utf8 = new Utf8()
  return chunks.map((chunk) => utf8.decode(chunk)).join("") + utf8.end()
}

/** Characters of all lengths, byte order marks, and invalid bytes. */
const bytes = FastCheck.array(
  FastCheck.oneof(
    FastCheck.constantFrom("a", "data: ", "é", "€", "😀", "\ufeff", "\n").map(encode),
    FastCheck.uint8Array({ minLength: 1, maxLength: 3 })
  ),
  { maxLength: 12 }
).map((chunks) => Uint8Array.from(chunks.flatMap((chunk) => [...chunk])))

describe("utf8", () => {
  it("is decoded to the same text for any split", () => {
    FastCheck.assert(
      FastCheck.property(bytes, FastCheck.array(FastCheck.nat(40), { maxLength: 6 }), (bytes, positions) => {
        assert.strictEqual(read(chunks(bytes, positions)), new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes))
      }),
      { seed: 20261122, numRuns: 2000 }
    )
  })

  it("keeps byte order marks", () => {
    assert.strictEqual(read([encode("\ufeffa"), encode("\ufeffb")]), "\ufeffa\ufeffb")
  })
})
