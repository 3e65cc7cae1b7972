import { assert, describe, it } from "@effect/vitest"
import type { ErrorInfo } from "../../../src/internal/errors/errorBody.ts"
import { fromJson } from "../../../src/internal/errors/errorBody.ts"
import {
  requestId,
  resetAfterMillis,
  retryAfterFromInfo,
  retryAfterMillis
} from "../../../src/internal/errors/retryAfter.ts"

const now = Date.UTC(2025, 0, 1, 12, 0, 0)
const withMessage = (message: string): ErrorInfo => ({ message, code: undefined, type: undefined })

describe("retryAfterMillis", () => {
  const table: ReadonlyArray<readonly [string, Record<string, string>, number | undefined]> = [
    ["seconds", { "retry-after": "20" }, 20_000],
    ["fractions of a second", { "retry-after": "0.25" }, 250],
    ["no wait", { "retry-after": "0" }, 0],
    ["milliseconds", { "retry-after-ms": "660" }, 660],
    ["milliseconds before seconds", { "retry-after-ms": "1500", "retry-after": "2" }, 1_500],
    ["a part of a millisecond as one millisecond", { "retry-after-ms": "0.4" }, 1],
    ["seconds where the milliseconds are 0", { "retry-after-ms": "0", "retry-after": "1" }, 1_000],
    ["0 milliseconds on their own", { "retry-after-ms": "0" }, 0],
    ["seconds where the milliseconds are garbage", { "retry-after-ms": "soon", "retry-after": "3" }, 3_000],
    ["a date", { "retry-after": "Wed, 01 Jan 2025 12:00:30 GMT" }, 30_000],
    ["a date in the past as no wait", { "retry-after": "Wed, 01 Jan 2025 11:00:00 GMT" }, 0],
    ["an RFC 850 date", { "retry-after": "Wednesday, 01-Jan-25 12:00:05 GMT" }, 5_000],
    ["an asctime date as GMT", { "retry-after": "Wed Jan  1 12:00:05 2025" }, 5_000],
    ["an ISO date", { "retry-after": "2025-01-01T12:01:00Z" }, 60_000],
    ["a duration with units", { "retry-after": "1m30s" }, 90_000],
    ["a duration in milliseconds", { "retry-after": "370ms" }, 370],
    ["nothing of nothing", {}, undefined],
    ["nothing of an empty value", { "retry-after": "" }, undefined],
    ["nothing of a negative value", { "retry-after": "-5" }, undefined],
    ["nothing of a negative number of milliseconds", { "retry-after-ms": "-5" }, undefined],
    ["nothing of a word", { "retry-after": "later" }, undefined],
    ["nothing of a word with a number", { "retry-after": "in 5" }, undefined],
    ["nothing of an exponent", { "retry-after": "1e9" }, undefined],
    ["nothing of Infinity", { "retry-after": "Infinity" }, undefined]
  ]
  for (const [name, headers, expected] of table) {
    it(`reads ${name}`, () => {
      assert.strictEqual(retryAfterMillis(headers, now), expected)
    })
  }
})

describe("retryAfterFromInfo", () => {
  const table: ReadonlyArray<readonly [string, number | undefined]> = [
    ["Rate limit reached … Please try again in 1.898s. Visit …", 1_898],
    ["Please try again in 6m0s. Need more tokens?", 360_000],
    ["Please try again in 1h2m3.5s.", 3_723_500],
    ["Please try again in 2.007s.", 2007],
    ["Please try again in 200ms.", 200],
    ["Please retry after 20 seconds.", 20_000],
    ["Please retry in 33.507734372s.", 33_508],
    ["please try again after 1 seconds", 1_000],
    ["Please wait 5000 seconds before retrying.", 5_000_000],
    ["Your quota will reset after 13h19m1s.", 47_941_000],
    ["try again in 1 minute and 5 seconds", 65_000],
    ["{\"retryDelay\": \"34s\"}", 34_000],
    ["{\\\"retryDelay\\\":\\\"34.5s\\\"}", 34_500],
    ["请求过于频繁，请 10 秒后重试", 10_000],
    ["Please try again later.", undefined],
    ["Please try again in a new conversation with 5 messages", undefined],
    ["Limit 200000, Requested 2500013", undefined],
    ["", undefined]
  ]
  for (const [message, expected] of table) {
    it(`reads "${message}"`, () => {
      assert.strictEqual(retryAfterFromInfo(withMessage(message), now), expected)
    })
  }

  it("reads Google's RetryInfo", () => {
    const details = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34.074824224s" }]
    const info = fromJson([{ error: { code: 429, message: "exhausted", details } }])

    assert.strictEqual(info && retryAfterFromInfo(info, now), 34_075)
  })

  it("reads a number of seconds or milliseconds in the body", () => {
    const seconds = fromJson({ error: { message: "slow down", metadata: { retry_after_seconds: 7 } } })
    const millis = fromJson({ error: "slow down", retry_after_ms: 70 })

    assert.strictEqual(seconds && retryAfterFromInfo(seconds, now), 7_000)
    assert.strictEqual(millis && retryAfterFromInfo(millis, now), 70)
  })

  for (
    const field of [
      { retryInfo: { retryDelay: "12s" } },
      { details: [{ retryDelay: { seconds: 12 } }] },
      { "retry-after": 12 },
      { retry_in: "12s" },
      { wait_time: 12 },
      { backoff_seconds: 12 }
    ]
  ) {
    it(`reads ${JSON.stringify(field)} in the body`, () => {
      const info = fromJson({ error: { message: "slow down", ...field } })
      assert.strictEqual(info && retryAfterFromInfo(info, now), 12_000)
    })
  }

  it("reads the wait of a gateway's upstream", () => {
    const info = fromJson({ error: { message: "Provider returned error", metadata: { raw: "try again in 3s" } } })

    assert.strictEqual(info && retryAfterFromInfo(info, now), 3_000)
  })
})

describe("resets of used-up limits", () => {
  const epoch = now + 90_000
  const table: ReadonlyArray<readonly [string, Record<string, string>, number | undefined]> = [
    [
      "an epoch in milliseconds (OpenRouter)",
      { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(epoch) },
      90_000
    ],
    [
      "an epoch in seconds (GitHub)",
      { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(epoch / 1000) },
      90_000
    ],
    ["an epoch in microseconds", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": `${epoch}000` }, 90_000],
    ["an epoch in nanoseconds", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": `${epoch}000000` }, 90_000],
    ["hours, minutes and seconds", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "01:00:30" }, 3_630_000],
    ["an ISO duration", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "PT1M30S" }, 90_000],
    [
      "a reset-after header with a remaining header",
      { "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "7.5" },
      7_500
    ],
    ["a reset of one kind with a general remaining header", {
      "x-ratelimit-remaining": "0",
      "x-ratelimit-reset-tokens": "9s"
    }, 9_000],
    ["milliseconds by name", { "x-ratelimit-remaining": "0", "x-ratelimit-reset-ms": "900" }, 900],
    ["a remainder below zero", { "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "42" }, 42_000],
    ["a number of seconds (Together)", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1.5" }, 1_500],
    ["a duration (OpenAI)", { "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s" }, 360_000],
    ["milliseconds (OpenAI)", { "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6ms" }, 6],
    [
      "an ISO date (Anthropic)",
      { "anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": "2025-01-01T12:10:00Z" },
      600_000
    ],
    ["an ISO date without a zone", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2025-01-01T12:00:05" }, 5_000],
    ["an HTTP date", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "Wed, 01 Jan 2025 12:00:30 GMT" }, 30_000],
    ["names without x (IETF)", { "ratelimit-remaining": "0", "ratelimit-reset": "5" }, 5_000],
    ["one field (IETF)", { ratelimit: "limit=10, remaining=0, reset=7" }, 7_000],
    ["one structured field (IETF)", { ratelimit: "\"default\";r=0;t=8" }, 8_000],
    ["names with a period (Cerebras)", {
      "x-ratelimit-remaining-requests-day": "0",
      "x-ratelimit-reset-requests-day": "33011.4"
    }, 33_011_400],
    [
      "the latest of several",
      {
        "a-ratelimit-remaining": "0",
        "a-ratelimit-reset": "5",
        "b-ratelimit-remaining": "0.0",
        "b-ratelimit-reset": "9"
      },
      9_000
    ],
    [
      "not those with something left",
      {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "1h"
      },
      2_000
    ],
    ["nothing where something is left", { "x-ratelimit-remaining": "3", "x-ratelimit-reset": "60" }, undefined],
    ["no reset without a remaining header", { "x-ratelimit-reset": "60" }, undefined],
    ["nothing of a field with something left", { ratelimit: "limit=10, remaining=3, reset=7" }, undefined],
    ["nothing of a reset that is over", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "0" }, undefined],
    ["nothing of a past date", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now - 5) }, undefined],
    ["nothing of words", { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon" }, undefined],
    ["nothing of nothing", {}, undefined]
  ]
  for (const [name, headers, expected] of table) {
    it(`are read from headers: ${name}`, () => {
      assert.strictEqual(resetAfterMillis(headers, now), expected)
    })
  }

  const bodies: ReadonlyArray<readonly [string, unknown, number | undefined]> = [
    ["headers in the metadata (OpenRouter)", {
      error: {
        message: "m",
        metadata: { headers: { "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": String(epoch) } }
      }
    }, 90_000],
    ["an object of its own", { error: { message: "m" }, rate_limit: { remaining: 0, reset: 4 } }, 4_000],
    ["a date", { error: { message: "m", resets_at: epoch / 1000 } }, 90_000],
    ["a number of seconds", { error: { message: "m", resets_in_seconds: 3 } }, 3_000],
    ["a date under a wait's name", { error: { message: "m", retry_after: "2025-01-01T12:00:09Z" } }, 9_000],
    ["something left", {
      error: {
        message: "m",
        metadata: { headers: { "X-RateLimit-Remaining": "1", "X-RateLimit-Reset": String(epoch) } }
      }
    }, undefined]
  ]
  for (const [name, body, expected] of bodies) {
    it(`are read from a body: ${name}`, () => {
      const info = fromJson(body)

      assert.strictEqual(info && retryAfterFromInfo(info, now), expected)
    })
  }

  it("never give a wait that JSON cannot represent", () => {
    const maxWait = Number.MAX_SAFE_INTEGER
    assert.strictEqual(retryAfterMillis({ "retry-after": "9".repeat(400) }, now), maxWait)
    assert.strictEqual(retryAfterMillis({ "retry-after-ms": "9".repeat(400) }, now), maxWait)
    assert.strictEqual(retryAfterFromInfo(withMessage(`try again in ${"9".repeat(12)} days`), now), maxWait)
  })

  it("take little time for a number with a long text after it", () => {
    const digits = `${"1".repeat(60_000)}!`
    const start = performance.now()
    const info: ErrorInfo = { message: `请在 ${digits} 秒后重试`, retryDelay: digits, resets: [digits] }

    assert.isUndefined(retryAfterMillis({ "retry-after": digits, "retry-after-ms": digits }, now))
    assert.isUndefined(retryAfterFromInfo(info, now))
    assert.isBelow(performance.now() - start, 500)
  })
})

describe("requestId", () => {
  it("prefers the id of the server to that of its delivery network", () => {
    assert.strictEqual(requestId({ "cf-ray": "ray", "apim-request-id": "azure", "x-request-id": "req" }), "req")
    assert.strictEqual(requestId({ "cf-ray": "ray", "apim-request-id": "azure" }), "azure")
    assert.strictEqual(requestId({ "cf-ray": "ray" }), "ray")
  })

  const names = [
    "x-request-id",
    "request-id",
    "x-requestid",
    "apim-request-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "x-amz-request-id",
    "mistral-correlation-id",
    "x-kong-request-id",
    "x-ds-trace-id",
    "msh-request-id",
    "x-log-id",
    "x-siliconcloud-trace-id",
    "x-tt-logid",
    "x-dashscope-request-id",
    "nvcf-reqid",
    "x-generation-id",
    "x-inference-id",
    "x-correlation-id",
    "x-trace-id",
    "x-vercel-id",
    "cf-ray"
  ]
  for (const name of names) {
    it(`reads ${name}`, () => {
      assert.strictEqual(requestId({ date: "today", [name]: " id ", server: "nginx" }), "id")
    })
  }

  it("prefers the id of the request to that of its trace, in any order", () => {
    assert.strictEqual(requestId({ "x-amzn-trace-id": "Root=1", "x-amzn-requestid": "req" }), "req")
    assert.strictEqual(requestId({ "x-amzn-requestid": "req", "x-amzn-trace-id": "Root=1" }), "req")
    assert.strictEqual(requestId({ "cf-ray": "ray", "x-amzn-trace-id": "Root=1" }), "Root=1")
  })

  it("uses no other header as an id", () => {
    const others = [
      "traceparent",
      "x-cloud-trace-context",
      "x-amz-id-2",
      "x-amz-cf-id",
      "openai-organization",
      "openai-project",
      "x-catalog-id",
      "x-ms-client-request-id",
      "x-request-id-source",
      "x-ratelimit-remaining-requests",
      "retry-after",
      "etag"
    ]
    assert.isUndefined(requestId(Object.fromEntries(others.map((name) => [name, "no"]))))
  })

  it("ignores an empty id", () => {
    assert.strictEqual(requestId({ "x-request-id": " ", "request-id": "req" }), "req")
    assert.isUndefined(requestId({ "x-request-id": "" }))
    assert.isUndefined(requestId({}))
  })
})
