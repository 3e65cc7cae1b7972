import { assert, describe, it } from "@effect/vitest"
import { Inspectable, Redacted } from "effect"
import { LLMConfig } from "effect-chat"
import { scrub, scrubCause } from "../../../src/internal/errors/redaction.ts"
import { secretsOf } from "../../../src/internal/errors/toChatError.ts"

const key = "sk-1234567890"

describe("secrets", () => {
  it("every secret is replaced wherever it stands", () => {
    assert.strictEqual(scrub(`a ${key} b ${key}, other`, [key, "other"]), "a <redacted> b <redacted>, <redacted>")
  })

  it("a secret with signs of a pattern is a text", () => {
    assert.strictEqual(scrub("a.c abc", ["a.c$"]), "a.c abc")
    assert.strictEqual(scrub("x$&+x", ["$&+x"]), "x<redacted>")
  })

  it("what is shorter than four characters is no secret", () => {
    assert.strictEqual(scrub("a b c", ["", "a", "b c"]), "a b c")
  })

  it("an error that shows no secret stays itself", () => {
    const cause = new Error("plain", { cause: new Error("beneath") })
    assert.strictEqual(scrubCause(cause, [key]), cause)
  })

  it("an error that shows one is replaced, wherever it shows it", () => {
    const errors: ReadonlyArray<Error> = [
      new Error(`bad ${key}`),
      new Error("outer", { cause: new Error(`inner ${key}`) }),
      Object.assign(new Error("with a field"), { request: { headers: { authorization: key } } })
    ]
    for (const error of errors) {
      const clean = scrubCause(error, [key])
      assert.notStrictEqual(clean, error)
      assert.notInclude(`${String(clean)} ${Inspectable.toStringUnknown(clean)}`, key)
    }
  })

  it("a cause that is no error is scrubbed as text", () => {
    assert.strictEqual(scrubCause(`why ${key}`, [key]), "why <redacted>")
    assert.strictEqual(scrubCause(undefined, [key]), undefined)
  })

  it("secret are the key and the headers, also without the scheme before a token", () => {
    const config = LLMConfig.make({
      baseUrl: "http://server.test/v1",
      apiKey: key,
      headers: { "proxy-authorization": "Bearer abcd-efgh", "x-tenant": Redacted.make("t-1") }
    })
    assert.sameMembers([...secretsOf(config)], [key, "Bearer abcd-efgh", "abcd-efgh", "t-1"])
  })
})
