import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc, Inspectable, Redacted } from "effect"
import { ChatResponse, LLMConfig, Provider } from "effect-chat"
import {
  scrub,
  scrubAll,
  scrubAndCut,
  scrubCause,
  secretsFrom,
  secretsOf
} from "../../../src/internal/errors/redaction.ts"

const key = "sk-1234567890"
const secrets = secretsFrom([key])

describe("scrub", () => {
  it("replaces every secret at any place", () => {
    const twoSecrets = secretsFrom([key, "other"])
    assert.strictEqual(scrub(`a ${key} b ${key}, other`, twoSecrets), "a <redacted> b <redacted>, <redacted>")
  })

  it("treats the special characters of patterns in a secret as text", () => {
    assert.strictEqual(scrub("a.c abc", secretsFrom(["a.c$"])), "a.c abc")
    assert.strictEqual(scrub("x$&+x", secretsFrom(["$&+x"])), "x<redacted>")
    assert.strictEqual(scrub("(a|b)*[c]{2}^\\d-z", secretsFrom(["(a|b)*[c]{2}^\\d-z"])), "<redacted>")
  })

  it("does not replace secrets with fewer than four characters", () => {
    assert.strictEqual(scrub("a b c", secretsFrom(["", "a", "b c"])), "a b c")
  })

  it("replaces a longer secret before the shorter one that it begins with or contains", () => {
    const nestedSecrets = secretsFrom(["acme", "acme-prod-9f8e", "prod"])
    assert.strictEqual(scrub("acme-prod-9f8e acme prod", nestedSecrets), "<redacted> <redacted> <redacted>")
  })

  const special = `k"e/y&+<=>'\\1`
  const scrubbed = (text: string) => scrub(`a ${text} b`, secretsFrom([special]))
  const forms: ReadonlyArray<readonly [string, string]> = [
    ["JSON", JSON.stringify(special).slice(1, -1)],
    ["JSON within JSON", JSON.stringify(JSON.stringify(special)).slice(3, -3)],
    ["JSON with an escaped slash", JSON.stringify(special).slice(1, -1).replaceAll("/", "\\/")],
    [
      "JSON with escaped HTML",
      JSON.stringify(special).slice(1, -1).replaceAll("<", "\\u003c").replaceAll("&", "\\u0026")
    ],
    ["a URL", encodeURIComponent(special)],
    ["a URL in lower case", encodeURIComponent(special).toLowerCase()],
    ["a URL within a URL", encodeURIComponent(encodeURIComponent(special))],
    ["JSON within a URL", encodeURIComponent(JSON.stringify(special).slice(1, -1))],
    ["a form", new URLSearchParams({ k: special }).toString().slice(2)],
    [
      "HTML",
      special.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\"", "&quot;")
    ],
    ["HTML by numbers", special.replaceAll("&", "&#38;").replaceAll("'", "&#039;").replaceAll("\"", "&#x22;")]
  ]
  for (const [name, form] of forms) {
    it(`finds a secret that is escaped as ${name}`, () => {
      assert.strictEqual(scrubbed(form), "a <redacted> b")
    })
  }

  it("finds a secret in base64 at any place in the encoded text", () => {
    fc.assert(fc.property(
      fc.string({ minLength: 8, maxLength: 40, unit: "grapheme-ascii" }).filter((text) => text.trim() === text),
      fc.string({ maxLength: 8, unit: "grapheme-ascii" }),
      fc.string({ maxLength: 8, unit: "grapheme-ascii" }),
      fc.constantFrom<BufferEncoding>("base64", "base64url"),
      (secret, before, after, encoding) => {
        const encoded = Buffer.from(before + secret + after).toString(encoding)
        assert.include(scrub(encoded, secretsFrom([secret])), "<redacted>")
      }
    ))
  })

  it("finds secrets of any length and number", () => {
    for (const [length, count] of [[80_000, 1], [1_000, 100], [60, 5_000]] as const) {
      const many = Array.from({ length: count }, (_, at) => `-${at}`.repeat(length / 2).slice(0, length))
      const found = scrub(`a ${many.at(-1)} b ${many[0]} c`, secretsFrom(many))
      assert.strictEqual(found, "a <redacted> b <redacted> c")
    }
  })

  it("takes linear time, for any repetitive text", () => {
    const text = "sk-sk-sk-1234%".repeat(100_000)
    const start = performance.now()
    assert.strictEqual(scrub(text, secrets), text)
    assert.isBelow(performance.now() - start, 1_000)
  })
})

describe("scrubAndCut", () => {
  it("replaces secrets before it cuts, so that no part of one remains", () => {
    for (let before = 0; before < 60; before++) {
      const text = "x".repeat(before) + `\n${key}`.repeat(20_000)
      const cut = scrubAndCut(text, secrets, 8192)
      assert.strictEqual(cut, ("x".repeat(before) + "\n<redacted>".repeat(20_000)).slice(0, cut.length))
      assert.isAbove(cut.length, 8000)
    }
  })

  it("drops the end of a cut text if a secret may begin there", () => {
    const text = `${"x".repeat(2 ** 16 - 5)}${key.slice(0, 5)}`
    const cut = scrubAndCut(text, secrets, 2 ** 16)
    assert.match(cut, /^x+$/)
    assert.isAbove(cut.length, 2 ** 16 - 1000)
  })

  it("does not change a short text", () => {
    assert.strictEqual(scrubAndCut("short", secrets, 8192), "short")
    assert.strictEqual(scrubAndCut("short", secretsFrom([]), 3), "sho")
  })
})

describe("scrubAll", () => {
  it("replaces secrets in all texts and names of a value", () => {
    const value = { a: [`x ${key}`, 1, null], [key]: { b: key }, c: true }
    assert.deepStrictEqual(scrubAll(value, secrets), {
      a: ["x <redacted>", 1, null],
      "<redacted>": { b: "<redacted>" },
      c: true
    })
  })

  it("returns the value itself if it has no secret", () => {
    const response = ChatResponse.ChatResponse.make({
      text: "hello",
      reasoning: "",
      refusal: "",
      toolCalls: [{ id: "1", name: "f", arguments: "{}" }],
      finishReason: "stop",
      rawFinishReason: "stop",
      usage: undefined,
      id: "i",
      model: "m"
    })
    assert.strictEqual(scrubAll(response, secrets), response)
  })

  it("ends for a value that is nested without end", () => {
    const deep = Array.from({ length: 50_000 }).reduce<unknown>((inner) => [inner], key)
    assert.notInclude(Inspectable.toStringUnknown(scrubAll(deep, secrets)), key)
  })
})

describe("scrubCause", () => {
  it("returns the error itself if it has no secret", () => {
    const cause = new Error("plain", { cause: new Error("beneath") })
    assert.strictEqual(scrubCause(cause, secrets), cause)
  })

  it("replaces an error that has a secret in any of its texts", () => {
    const errors: ReadonlyArray<Error> = [
      new Error(`bad ${key}`),
      new Error("outer", { cause: new Error(`inner ${key}`) }),
      Object.assign(new Error("with a field"), { request: { headers: { authorization: key } } })
    ]
    for (const error of errors) {
      const clean = scrubCause(error, secrets)
      assert.notStrictEqual(clean, error)
      assert.notInclude(`${String(clean)} ${Inspectable.toStringUnknown(clean)}`, key)
    }
  })

  it("ends if an error is its own cause", () => {
    const error = new Error("round")
    error.cause = error
    assert.strictEqual(scrubCause(error, secrets), error)
  })

  it("scrubs a cause that is not an error as text", () => {
    assert.strictEqual(scrubCause(`why ${key}`, secrets), "why <redacted>")
    assert.strictEqual(scrubCause(undefined, secrets), undefined)
  })
})

describe("the secrets of a config", () => {
  const config = (headers: Record<string, string>, query: Record<string, string> = {}) =>
    LLMConfig.make({ baseUrl: "http://server.test/v1", apiKey: key, headers, wire: Provider.Wire.make({ query }) })
  const isHidden = (config: LLMConfig.LLMConfig, text: string) =>
    scrub(`a ${text} b`, secretsOf(config)) === "a <redacted> b"

  it("are the key, and tokens with and without their scheme", () => {
    const { baseUrl } = config({})
    const custom = LLMConfig.make({
      baseUrl,
      apiKey: key,
      headers: { "proxy-authorization": Redacted.make("Bearer ab-cd-ef") }
    })
    for (const text of [key, "Bearer ab-cd-ef", "ab-cd-ef"]) assert.isTrue(isHidden(custom, text), text)
  })

  const secretNames =
    "Authorization Proxy-Authorization X-API-Key api-key Cookie X-Token x-gateway-key x-client-secret X-Auth x-access-token Ocp-Apim-Subscription-Key x-password cf-access-client-secret x-goog-api-key idempotency_key"
  for (const name of secretNames.split(" ")) {
    it(`include the value of the header ${name}`, () => {
      assert.isTrue(isHidden(config({ [name]: "value-of-it" }), "value-of-it"))
    })
  }

  const ordinary =
    "x-portkey-provider x-tenant user-agent http-referer x-title openai-organization anthropic-version x-author accept-language x-keyboard"
  for (const name of ordinary.split(" ")) {
    it(`do not include the value of the ordinary header ${name}`, () => {
      assert.isFalse(isHidden(config({ [name]: "anthropic" }), "anthropic"))
    })
  }

  it("include a value that has the form of a secret, whatever its header", () => {
    for (
      const value of [
        "tenant-secret-99",
        "Bearer abcdefg",
        "sk-abcdefgh",
        "gsk_abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.e30.x"
      ]
    ) {
      assert.isTrue(isHidden(config({ "x-tenant": value }), value), value)
    }
  })

  it("include the token behind a scheme, and the values of cookies that are not short", () => {
    const basic = btoa("ada:hunter22")
    const custom = config({ authorization: `Basic ${basic}`, cookie: "session=abcdefgh1; theme=dark" })
    for (const text of [basic, "abcdefgh1"]) assert.isTrue(isHidden(custom, text), text)
    assert.isFalse(isHidden(custom, "dark"))
  })

  it("include a key in the query of the address", () => {
    const custom = config({}, { "api-version": "2024-10-21", key: "query-key-1" })
    assert.isTrue(isHidden(custom, "query-key-1"))
    assert.isFalse(isHidden(custom, "2024-10-21"))
    assert.isTrue(isHidden(config({}, { sig: "signature-1" }), "signature-1"))
  })
})
