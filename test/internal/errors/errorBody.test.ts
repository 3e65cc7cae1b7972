import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import { classify } from "../../../src/internal/errors/classify.ts"
import {
  displayMessage,
  fromBody,
  fromJson,
  fromStreamData,
  isReport,
  statusText
} from "../../../src/internal/errors/errorBody.ts"
import { retryAfterFromInfo } from "../../../src/internal/errors/retryAfter.ts"

const corpus = new URL("../../../../shared/corpus/", import.meta.url)
const hasCorpus = Fs.existsSync(corpus)
const absent = hasCorpus ? "" : " (skipped: the recordings are not here)"

interface Case {
  readonly id: string
  readonly kind: string
  readonly sse: boolean
  readonly status: number
  readonly contentType: string | null
  readonly bodyFile: string
  readonly expected: {
    readonly errorMessage: string | null
    readonly errorCode?: string | number
    readonly errorType?: string
  }
}

const cases = (): ReadonlyArray<{ readonly recorded: Case; readonly body: string }> =>
  Fs.readdirSync(corpus).filter((id) => Fs.existsSync(new URL(`${id}/case.json`, corpus))).map((id) => {
    const recorded: Case = JSON.parse(Fs.readFileSync(new URL(`${id}/case.json`, corpus), "utf8"))
    return { recorded, body: Fs.readFileSync(new URL(`${id}/${recorded.bodyFile}`, corpus), "utf8") }
  })

const dataOf = (body: string): ReadonlyArray<unknown> =>
  body.split(/\r?\n/).filter((line) => line.startsWith("data:") && !line.includes("[DONE]"))
    .map((line): unknown => JSON.parse(line.slice(5)))

describe("fromJson reads every shape of an error body", () => {
  const shapes: ReadonlyArray<readonly [string, unknown, string, string | undefined, string | undefined]> = [
    [
      "an error object",
      { error: { message: "no", type: "invalid_request_error", code: "c" } },
      "no",
      "c",
      "invalid_request_error"
    ],
    [
      "a list around an error object",
      [{ error: { code: 400, message: "no", status: "INVALID_ARGUMENT" } }],
      "no",
      "400",
      undefined
    ],
    ["an error string", { error: "no" }, "no", undefined, undefined],
    ["an error string and a code", { code: "unavailable", error: "no" }, "no", "unavailable", undefined],
    ["a list of error strings", { error: ["no", "nor this"] }, "no", undefined, undefined],
    ["a list of error objects", { success: false, error: [{ code: 2009, message: "no" }] }, "no", "2009", undefined],
    ["an error flag with a message", { error: true, message: "no" }, "no", undefined, undefined],
    ["an error object without text, and a message", { error: { code: 1 }, message: "no" }, "no", "1", undefined],
    ["an error in an error", { error: { error: { message: "no", code: "c" } } }, "no", "c", undefined],
    ["a message", { message: "no" }, "no", undefined, undefined],
    ["a flat object", { message: "no", type: "t", code: "c" }, "no", "c", "t"],
    [
      "object: error",
      { object: "error", message: "no", type: "BadRequestError", code: 400 },
      "no",
      "400",
      "BadRequestError"
    ],
    [
      "type: error",
      { type: "error", error: { type: "overloaded_error", message: "no" } },
      "no",
      undefined,
      "overloaded_error"
    ],
    ["a detail string", { detail: "no" }, "no", undefined, undefined],
    ["a detail list", { detail: [{ type: "t", loc: ["body", "x"], msg: "no" }] }, "no", undefined, undefined],
    ["an error in a detail", { detail: { error: { message: "no", code: "c" } } }, "no", "c", undefined],
    [
      "a detail list in the message",
      {
        object: "error",
        message: { detail: [{ msg: "no", loc: ["body", "x"] }] },
        type: "invalid_request_error",
        code: null
      },
      "no",
      undefined,
      "invalid_request_error"
    ],
    ["type: error and a message", { type: "error", message: "no" }, "no", undefined, undefined],
    ["a list of errors", { errors: [{ message: "no", code: 5007 }], success: false }, "no", "5007", undefined],
    ["an error string and a type", { error: "no", error_type: "validation" }, "no", undefined, "validation"],
    ["a title", { title: "no", status: 400 }, "no", undefined, undefined],
    [
      "a title with a detail",
      { type: "about:blank", title: "Not Found", detail: "no", status: 404 },
      "no",
      undefined,
      "about:blank"
    ],
    ["msg", { code: 500, msg: "no", success: false }, "no", "500", undefined],
    ["error_msg", { error_code: 336103, error_msg: "no" }, "no", "336103", undefined],
    ["Message", { Message: "no" }, "no", undefined, undefined],
    ["Response.Error", { Response: { Error: { Code: "AuthFailure", Message: "no" } } }, "no", "AuthFailure", undefined],
    ["fault", { fault: { faultstring: "no", detail: { errorcode: "keys.Missing" } } }, "no", "keys.Missing", undefined],
    ["base_resp", { base_resp: { status_code: 1004, status_msg: "no" } }, "no", "1004", undefined],
    ["a JSON string that holds JSON", "{\"error\":{\"message\":\"no\"}}", "no", undefined, undefined],
    ["an error in data", { success: false, data: { message: "no", code: "AB03" } }, "no", "AB03", undefined],
    ["an error in a result", { result: { error: { message: "no", code: "c" } } }, "no", "c", undefined],
    ["the data of an error", { error: { code: "c", data: "no" } }, "no", "c", undefined],
    [
      "an error in the data of an error",
      { error: { data: { error: { message: "no", code: "c" } } } },
      "no",
      "c",
      undefined
    ],
    [
      "an error in the data of an error as JSON",
      { error: { data: "{\"error\":{\"message\":\"no\"}}" } },
      "no",
      undefined,
      undefined
    ],
    [
      "the response of an error",
      { error: { name: "E", response: { message: "no", type: "t" } } },
      "no",
      undefined,
      "t"
    ],
    ["a response", { response: { error: { message: "no", code: "c" } } }, "no", "c", undefined],
    ["a response that is a text", { response: "no" }, "no", undefined, undefined],
    ["a message and data", { message: "no", data: { message: "other", code: "c" } }, "no", undefined, undefined],
    [
      "a message with a gateway's name before it",
      { "helicone-message": "no", "support": "write to us", "helicone-error": "e" },
      "no",
      undefined,
      undefined
    ],
    ["a JSON string", "no", "no", undefined, undefined]
  ]
  for (const [name, body, message, code, type] of shapes) {
    it(`reads the message of ${name}`, () => {
      const info = fromJson(body)

      assert.deepStrictEqual([info?.message, info?.code, info?.type], [message, code, type])
    })
  }

  it("reads a numeric code as a string, and null as no code", () => {
    const info = fromJson({ error: { message: "no", code: 400, type: null } })

    assert.deepStrictEqual([info?.code, info?.type, info?.status], ["400", undefined, 400])
  })

  for (const error of ["Bad Request", "Method Not Allowed", "Payload Too Large", "Unprocessable Entity"]) {
    it(`prefers the message to an error that is only the reason phrase: ${error}`, () => {
      const info = fromJson({ statusCode: 400, error, message: "body/temperature must be number" })

      assert.strictEqual(info?.message, "body/temperature must be number")
    })
  }

  it("keeps an error that says more than the reason phrase, whatever the message", () => {
    assert.strictEqual(fromJson({ error: "no such model", message: "failed" })?.message, "no such model")
  })

  it("prefers the message to an error that is only a name, and uses the name as the code", () => {
    const info = fromJson({ error: "TypeError", message: "Cannot read properties of undefined", status: 500 })

    assert.deepStrictEqual([info?.message, info?.code, info?.status], [
      "Cannot read properties of undefined",
      "TypeError",
      500
    ])
  })

  const messages: ReadonlyArray<readonly [string, unknown, string]> = [
    ["Portkey's status and message", { status: "failure", message: "no provider" }, "no provider"],
    ["Portkey's HTML page of its upstream", {
      "html-message": "<html><head><title>502 Bad Gateway</title></head></html>"
    }, "502 Bad Gateway"],
    ["Portkey's plain text of its upstream", { "html-message": "upstream is down" }, "upstream is down"],
    ["a mock server's message", { message: "Not Found", ok: false }, "Not Found"],
    ["a detail and a bare reason phrase", { message: "Not Found", detail: "no model m" }, "no model m"],
    ["a message and an error with a bare reason phrase", {
      error: { message: "400 Bad Request" },
      message: "top_p must be above 0"
    }, "top_p must be above 0"],
    ["an upstream's JSON within the message", {
      error: { message: "{\"error\":{\"message\":\"quota is used up\",\"code\":\"q\"}}" }
    }, "quota is used up"],
    ["an upstream's JSON within JSON within the message", {
      error: { message: JSON.stringify({ message: JSON.stringify({ error: "deep" }) }) }
    }, "deep"],
    ["an upstream's JSON within the error", { error: "{\"message\":\"no\"}" }, "no"],
    ["a page within the message", {
      error: { message: "<!DOCTYPE html><title>524: A timeout occurred</title>", code: 524 }
    }, "524: A timeout occurred"],
    ["words that are no JSON although they begin so", { error: { message: "[input] is empty" } }, "[input] is empty"]
  ]
  for (const [name, body, expected] of messages) {
    it(`reads the message of ${name}`, () => {
      const info = fromJson(body)

      assert.strictEqual(info && displayMessage(info), expected)
    })
  }

  it("reads an upstream's JSON after words, and keeps the words", () => {
    const message =
      "litellm.RateLimitError: OpenAIException - {\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}"
    const info = fromJson({ error: { message } })

    assert.strictEqual(info && displayMessage(info), message)
    assert.strictEqual(info?.upstream?.code, "rate_limit_exceeded")
  })

  it("does not take an echo of the request for an upstream's error", () => {
    assert.isUndefined(fromJson({ error: { message: "cannot parse {\"model\":\"m\",\"message\":\"x\"}" } })?.upstream)
  })

  it("reads the upstream error that a gateway wraps as text", () => {
    const raw = JSON.stringify({ error: { message: "none is not supported", code: "unsupported_value", type: "t" } })

    const info = fromJson({ error: { message: "Provider returned error", code: 400, metadata: { raw } } })

    assert.strictEqual(info?.message, "Provider returned error")
    assert.strictEqual(info?.upstream?.message, "none is not supported")
    assert.strictEqual(info?.upstream?.code, "unsupported_value")
  })

  it("keeps upstream text that is not JSON", () => {
    const info = fromJson({ error: { message: "Provider returned error", metadata: { raw: "rate-limited upstream" } } })

    assert.strictEqual(info?.upstream?.message, "rate-limited upstream")
  })

  it("uses the upstream's message if the gateway has none", () => {
    assert.strictEqual(fromJson({ error: { metadata: { raw: "{\"error\":\"busy\"}" } } })?.message, "busy")
  })

  it("reads JSON within the message", () => {
    const inner = JSON.stringify({ error: { code: 429, message: "exhausted", status: "RESOURCE_EXHAUSTED" } })

    const info = fromJson({ error: { message: inner, code: 429 } })

    assert.strictEqual(info?.message, inner)
    assert.deepStrictEqual([info?.upstream?.message, info?.upstream?.hints], ["exhausted", ["RESOURCE_EXHAUSTED"]])
  })

  it("finds nothing in values that are not errors", () => {
    for (
      const value of [null, 0, true, "", [], {}, { type: "ping" }, { base_resp: { status_code: 0, status_msg: "" } }]
    ) {
      assert.isUndefined(fromJson(value), JSON.stringify(value))
    }
  })

  it("stops at a message that is nested too deeply", () => {
    const nested = Array.from({ length: 50 }).reduce<unknown>((inner) => ({ message: inner }), "no")

    assert.isUndefined(fromJson(nested))
  })

  it("stops at a body that is nested too deeply", () => {
    const nested = Array.from({ length: 5_000 }).reduce<unknown>((inner) => ({ error: inner }), { message: "no" })

    assert.isUndefined(fromJson(nested))
  })
})

describe("fromBody reads bodies of every kind", () => {
  const bodies: ReadonlyArray<readonly [string, string, string | undefined, string]> = [
    ["JSON served as a stream of bytes", "{\"error\":{\"message\":\"no\"}}", "application/octet-stream", "no"],
    ["JSON served as HTML", "{\"error\":\"no\"}", "text/html", "no"],
    ["JSON after a byte order mark and blank lines", "\uFEFF\n\n {\"error\":\"no\"}\n", "application/json", "no"],
    ["a JSON string", "\"Api key is invalid\"", "application/json", "Api key is invalid"],
    ["one JSON object a line", "{\"error\":\"no\"}\n{\"error\":\"nor this\"}\n", undefined, "no"],
    ["a data line", "data: {\"error\":{\"message\":\"no\"}}\n\n", "text/event-stream", "no"],
    ["an error event", "event: error\r\ndata: {\"message\":\"no\"}\r\n\r\n", undefined, "no"],
    ["an event of several data lines", "data: {\"error\":\ndata: \"no\"}\n\ndata: [DONE]\n\n", undefined, "no"],
    ["an error field", "error: {\"error\":{\"message\":\"no\"}}\n\n", undefined, "no"],
    ["an event of plain text", "event: error\ndata: no\n\n", undefined, "no"],
    ["plain text", "404 page not found\n", "text/plain", "404 page not found"],
    ["plain text that looks like a field", "error: it broke", "text/plain", "error: it broke"],
    ["plain text of several lines", " a \nb\n", "text/plain", "a \nb"],
    ["a bare number", "404", "text/plain", "404"],
    [
      "a proxy's page",
      "<html>\r\n<head><title>502 Bad\r\n Gateway</title></head><body><center><h1>x</h1></center></body></html>",
      "text/html",
      "502 Bad Gateway"
    ],
    ["a page with an unknown entity", "<html><title>&constructor; x</title></html>", undefined, "&constructor; x"],
    [
      "a page with entities",
      "<!DOCTYPE html><title>a &amp; b | 524: A timeout</title>",
      undefined,
      "a & b | 524: A timeout"
    ],
    ["a page without a title", "<html><body><h1>503 <b>Busy</b></h1><p>x</p></body></html>", undefined, "503 Busy"],
    [
      "a page without headings",
      "<html><style>p {}</style><body><p>It\n broke.</p></body></html>",
      undefined,
      "It broke."
    ],
    ["XML", "<?xml version=\"1.0\"?><Error><Code>X</Code><Message>no</Message></Error>", "application/xml", "no"],
    ["nothing", "", undefined, ""],
    ["blanks", " \r\n\r\n", "application/json", ""],
    ["null", "null", "application/json", ""],
    ["JSON without a message", "{\"method\":\"POST\",\"pathname\":\"/x\"}", "application/json", ""],
    ["cut JSON", "{\"error\":{\"mess", "application/json", "{\"error\":{\"mess"]
  ]
  for (const [name, body, contentType, message] of bodies) {
    it(`reads the message of ${name}`, () => {
      assert.strictEqual(fromBody(body, contentType).message, message)
    })
  }
})

describe("fromStreamData distinguishes errors from chunks", () => {
  const delta = { id: "x", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: "Hi" } }] }
  const errors: ReadonlyArray<readonly [string, unknown, string]> = [
    ["an error object", { error: { message: "no", code: 500 } }, "no"],
    ["an error string", { error: "no" }, "no"],
    ["an error in a list", [{ error: { message: "no" } }], "no"],
    ["an error and a message", { error: {}, message: "no" }, "no"],
    ["object: error", { object: "error", message: "no" }, "no"],
    ["type: error", { type: "error", message: "no" }, "no"],
    ["an error and a choice that failed", { ...delta, error: { message: "no", code: 502 } }, "no"],
    ["an error on a choice", { choices: [{ finish_reason: "error", error: { message: "no", code: 502 } }] }, "no"],
    ["object: error and a model", { object: "error", model: "m", message: "no" }, "no"],
    ["type: error and choices", { type: "error", choices: [], message: "no" }, "no"],
    ["a message without choices", { message: "no" }, "no"],
    ["a detail without choices", { detail: "no" }, "no"],
    ["a code without choices", { code: 50505, message: "no", data: null }, "no"],
    ["base_resp and empty choices", { choices: null, base_resp: { status_code: 1002, status_msg: "no" } }, "no"],
    ["an error in a response", { type: "response.failed", response: { error: { message: "no" } } }, "no"],
    ["an error without any text", { error: { code: 1 } }, ""]
  ]
  for (const [name, value, message] of errors) {
    it(`reads ${name} as an error`, () => {
      assert.strictEqual(fromStreamData(value)?.message, message)
    })
  }

  const chunks: ReadonlyArray<readonly [string, unknown]> = [
    ["a delta", delta],
    ["a delta with error: null", { ...delta, error: null }],
    ["a delta with an empty error", { ...delta, error: {} }],
    ["a delta with code and message of a success", { ...delta, code: 0, message: "Success", sid: "x" }],
    ["a delta with base_resp of a success", { ...delta, base_resp: { status_code: 0, status_msg: "" } }],
    ["a delta and a message", { choices: [{ delta: { content: "Hi" } }], message: "note" }],
    ["a choice with error: null", { choices: [{ delta: {}, error: null }] }],
    ["a usage chunk", { choices: [], usage: { total_tokens: 3 } }],
    ["a chunk with a cost only", { choices: [], cost: "0" }],
    ["a usage chunk without choices", { usage: { total_tokens: 3 }, message: "done" }],
    ["an empty object", {}],
    ["a ping", { type: "ping", message: "still here" }],
    ["another protocol's message", { model: "m", message: { role: "assistant", content: "Hi" }, done: false }],
    ["a chunk without choices", { id: "x", object: "chat.completion.chunk", message: "x" }],
    ["a success notice", { code: 200, msg: "success" }],
    ["text", "Hi"],
    ["null", null]
  ]
  for (const [name, value] of chunks) {
    it(`does not take ${name} for an error`, () => {
      assert.isUndefined(fromStreamData(value))
    })
  }
})

describe("events with a name", () => {
  const reports: ReadonlyArray<readonly [string, unknown]> = [
    ["hermes.tool.progress", { message: "running kubectl", status: "running" }],
    ["hermes.tool.progress", { error: "the command failed" }],
    ["x.progress", { message: "50 %" }],
    ["gateway", { message: "cache miss" }],
    ["status", undefined]
  ]
  for (const [name, data] of reports) {
    it(`are reports: ${name} ${JSON.stringify(data)}`, () => assert.isTrue(isReport(name, data)))
  }

  const parts: ReadonlyArray<readonly [string | undefined, unknown]> = [
    [undefined, { message: "no" }],
    ["message", { message: "no" }],
    ["error", { message: "no" }],
    ["stream_error", { message: "no" }],
    ["completion", { error: "no" }],
    ["gateway", { error: { message: "no" } }],
    ["gateway", { object: "error", message: "no" }],
    ["x.progress", { choices: [] }],
    ["x.progress", { usage: { total_tokens: 1 } }]
  ]
  for (const [name, data] of parts) {
    it(`are parts of the answer: ${name} ${JSON.stringify(data)}`, () => assert.isFalse(isReport(name, data)))
  }

  it("are not needed to recognize a report by its type or state", () => {
    for (const value of [{ type: "tool.progress", message: "x" }, { status: "processing", message: "x" }]) {
      assert.isUndefined(fromStreamData(value))
    }
    assert.strictEqual(fromStreamData({ status: "failure", message: "no" })?.message, "no")
  })
})

describe("a hostile body", () => {
  const aMillion = (text: string) => text.repeat(1_000_000 / text.length)
  const bodies: ReadonlyArray<readonly [string, string]> = [
    ["a list of empty objects", `{"error":[${aMillion("{},")}{}]}`],
    ["lists of lists", `{"error":${`[${aMillion("[[],[]],")}[]]`}}`],
    ["an object of many members", `{"error":{${Array.from({ length: 50_000 }, (_, at) => `"k${at}":1`).join()}}}`],
    ["errors that hold JSON", `{"errors":[${aMillion(`"{\\"error\\":{}}",`)}1]}`],
    ["nesting without end", `${"{\"error\":".repeat(100_000)}1${"}".repeat(100_000)}`],
    ["lists without end", `${"[".repeat(500_000)}${"]".repeat(500_000)}`],
    ["details of many kinds", `{"detail":${"{\"errors\":[{\"detail\":".repeat(2_000)}1${"}]}".repeat(2_000)}}`],
    ["open elements of a page", `<html>${aMillion("<title>")}`],
    ["open scripts of a page", `<html>${aMillion("<script>")}`],
    ["open comments", aMillion("<!--")],
    ["angle brackets", `<html>${aMillion("<")}`],
    ["models and colons", aMillion("model::::::::")],
    ["digits", aMillion("1")],
    ["waits without a unit", aMillion("wait 1111111111 ")],
    ["white space", `x${aMillion(" ")}x`],
    ["event fields", aMillion("data: {\n")]
  ]
  for (const [name, body] of bodies) {
    it(`takes little time: ${name}`, () => {
      const text = body.slice(0, 2 ** 20)
      const parsed = performance.now()
      try {
        JSON.parse(text)
      } catch { /* no JSON */ }
      const start = performance.now()
      const info = fromBody(body)
      classify(400, info)
      retryAfterFromInfo(info, 0)
      // Reading takes little time compared to parsing, with room for a busy machine.
      assert.isBelow(performance.now() - start, 3 * (start - parsed) + 150)
    })
  }
})

it("describes a status in words, with its number", () => {
  assert.strictEqual(statusText(503), "Service unavailable (HTTP 503)")
  assert.strictEqual(statusText(451), "HTTP status 451")
})

describe.skipIf(!hasCorpus)(`recorded errors${absent}`, () => {
  for (const { body, recorded } of hasCorpus ? cases() : []) {
    if (recorded.kind === "error") {
      it(`agrees with ${recorded.id}`, () => {
        const { errorCode, errorMessage, errorType } = recorded.expected
        const last = body.trim().split("\n\n").at(-1) ?? ""

        const info = fromBody(recorded.sse ? last : body, recorded.contentType ?? undefined)

        assert.deepStrictEqual(
          [info.message, info.code, info.type],
          [errorMessage ?? "", errorCode === undefined ? undefined : String(errorCode), errorType]
        )
      })
      if (recorded.sse) {
        it(`finds no error in the chunks before the one of ${recorded.id}`, () => {
          const found = dataOf(body).filter((value) => fromStreamData(value) !== undefined)

          assert.isAtMost(found.length, 1)
        })
      }
    } else {
      it(`finds no error in ${recorded.id}`, () => {
        const values = recorded.sse ? dataOf(body) : [JSON.parse(body)]

        assert.isAbove(values.length, 0)
        assert.deepStrictEqual(values.filter((value) => fromStreamData(value) !== undefined), [])
      })
    }
  }
})

describe("messages under other names", () => {
  const names =
    `errMsg errmsg err_msg err exception status_message statusMessage failure error_info user_message userMessage desc
     issue info cause errorDescription retMsg Msg ErrorMessage`
  for (const name of names.split(/\s+/)) {
    it(`are read from ${name}`, () => {
      assert.strictEqual(fromBody(JSON.stringify({ [name]: "No room today" })).message, "No room today")
      assert.strictEqual(fromBody(JSON.stringify({ error: { [name]: "No room today" } })).message, "No room today")
    })
  }

  it("are read from a list, but an ordinary message takes precedence", () => {
    assert.strictEqual(fromBody("{\"messages\":[\"No room today\"]}").message, "No room today")
    assert.strictEqual(fromBody("{\"cause\":\"x\",\"message\":\"No room today\"}").message, "No room today")
  })

  it("are not errors in a stream if they are ambiguous", () => {
    for (const name of ["info", "cause", "desc", "issue", "messages"]) {
      assert.isUndefined(fromStreamData({ [name]: "Thinking" }))
    }
  })

  it("decide the class of an error that a gateway could not read", () => {
    const value = {
      error_type: "validation_error",
      error_message: JSON.stringify({ error: { message: "This model's maximum context length is 40960 tokens." } })
    }
    const info = fromStreamData({ error: { code: "error", message: "Stream error occurred", value } })
    assert.strictEqual(info && classify(200, info)._tag, "ContextLengthError")
  })
})
