import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { digest } from "../../../src/internal/history/sha256.ts"

describe("sha256", () => {
  it("gives the same digests as Node for all lengths around the block size", () => {
    for (let length = 0; length < 200; length++) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + length) & 255)
      assert.strictEqual(digest(bytes), createHash("sha256").update(bytes).digest("hex"))
    }
  })
})
