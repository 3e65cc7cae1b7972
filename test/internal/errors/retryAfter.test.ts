import { assert, describe, it } from "@effect/vitest"
import type { ErrorInfo } from "../../../src/internal/errors/errorBody.ts"
import { fromJson } from "../../../src/internal/errors/errorBody.ts"
import { requestId, retryAfterFromInfo, retryAfterMillis } from "../../../src/internal/errors/retryAfter.ts"

const now = Date.UTC(2025, 0, 1, 12, 0, 0)
const said = (message: string): ErrorInfo => ({ message, code: undefined, type: undefined })

describe("retryAfterMillis", () => {
  const table: ReadonlyArray<readonly [string, Record<string, string>, number | undefined]> = [
    ["seconds", { "retry-after": "20" }, 20_000],
    ["fractions of a second", { "retry-after": "0.25" }, 250],
    ["no wait", { "retry-after": "0" }, 0],
    ["milliseconds", { "retry-after-ms": "660" }, 660],
    ["milliseconds before seconds", { "retry-after-ms": "1500", "retry-after": "2" }, 1_500],
    ["part of a millisecond as a whole one", { "retry-after-ms": "0.4" }, 1],
    ["seconds where the milliseconds are 0", { "retry-after-ms": "0", "retry-after": "1" }, 1_000],
    ["0 milliseconds on their own", { "retry-after-ms": "0" }, 0],
    ["seconds where the milliseconds are garbage", { "retry-after-ms": "soon", "retry-after": "3" }, 3_000],
    ["a date", { "retry-after": "Wed, 01 Jan 2025 12:00:30 GMT" }, 30_000],
    ["a date in the past as no wait", { "retry-after": "Wed, 01 Jan 2025 11:00:00 GMT" }, 0],
    ["an RFC 850 date", { "retry-after": "Wednesday, 01-Jan-25 12:00:05 GMT" }, 5_000],
    ["an asctime date as GMT", { "retry-after": "Wed Jan  1 12:00:05 2025" }, 5_000],
    ["an ISO date", { "retry-after": "2025-01-01T12:01:00Z" }, 60_000],
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
      assert.strictEqual(retryAfterFromInfo(said(message)), expected)
    })
  }

  it("reads Google's RetryInfo", () => {
    const details = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34.074824224s" }]
    const info = fromJson([{ error: { code: 429, message: "exhausted", details } }])

    assert.strictEqual(info && retryAfterFromInfo(info), 34_075)
  })

  it("reads a number of seconds or milliseconds in the body", () => {
    const seconds = fromJson({ error: { message: "slow down", metadata: { retry_after_seconds: 7 } } })
    const millis = fromJson({ error: "slow down", retry_after_ms: 70 })

    assert.strictEqual(seconds && retryAfterFromInfo(seconds), 7_000)
    assert.strictEqual(millis && retryAfterFromInfo(millis), 70)
  })

  it("reads what the upstream of a gateway said", () => {
    const info = fromJson({ error: { message: "Provider returned error", metadata: { raw: "try again in 3s" } } })

    assert.strictEqual(info && retryAfterFromInfo(info), 3_000)
  })
})

describe("requestId", () => {
  it("takes the id that the server itself gave before the one of its delivery network", () => {
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
    it(`knows ${name}`, () => {
      assert.strictEqual(requestId({ date: "today", [name]: " id ", server: "nginx" }), "id")
    })
  }

  it("takes the id of the request before that of its trace, whichever comes first", () => {
    assert.strictEqual(requestId({ "x-amzn-trace-id": "Root=1", "x-amzn-requestid": "req" }), "req")
    assert.strictEqual(requestId({ "x-amzn-requestid": "req", "x-amzn-trace-id": "Root=1" }), "req")
    assert.strictEqual(requestId({ "cf-ray": "ray", "x-amzn-trace-id": "Root=1" }), "Root=1")
  })

  it("takes no other header for an id", () => {
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

  it("passes over an empty id", () => {
    assert.strictEqual(requestId({ "x-request-id": " ", "request-id": "req" }), "req")
    assert.isUndefined(requestId({ "x-request-id": "" }))
    assert.isUndefined(requestId({}))
  })
})
