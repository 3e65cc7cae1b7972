/**
 * Responses that some clients of chat completions are known to read wrongly, with their correct meaning.
 *
 * The tests and the table of `docs/differential.md` use the same responses.
 */
import { calls, choice, completion, data, delta, done, ends, says } from "./wire/say.ts"

/** The correct meaning of a response. */
export type Meaning =
  /** A complete answer. */
  | {
    readonly _tag: "Answer"
    readonly text: string
    readonly reasoning?: string
    readonly toolCalls?: ReadonlyArray<{ readonly id: string; readonly name: string; readonly arguments: string }>
  }
  /** A part of an answer, which must not be reported as complete. */
  | { readonly _tag: "Cut"; readonly text: string }
  /** An error with the server's message, with or without a part of an answer before it. */
  | { readonly _tag: "Error"; readonly message: string; readonly text?: string }

/** A response to a request for a stream. */
export interface Row {
  readonly title: string
  readonly status: number
  readonly contentType: string
  readonly body: string
  /** The server sends nothing after the body, but does not end it. */
  readonly stalls: boolean
  /** The body is compressed with gzip, although the client did not ask for it. */
  readonly gzip?: "with a header" | "without a header"
  /** The server redirects the client with a 307, and the target sends the body. */
  readonly redirect?: "within the origin" | "to another origin"
  readonly meaning: Meaning
}

/** The key that clients send. */
export const key = "the-key-of-the-program"

const json = "application/json"

const row = (title: string, body: string, meaning: Meaning, more: Partial<Row> = {}): Row => ({
  title,
  status: 200,
  contentType: "text/event-stream",
  body,
  stalls: false,
  meaning,
  ...more
})

const answer = (text: string): Meaning => ({ _tag: "Answer", text })
const cut = (text: string): Meaning => ({ _tag: "Cut", text })
const error = (message: string, text?: string): Meaning => ({
  _tag: "Error",
  message,
  ...(text === undefined ? {} : { text })
})

const hi = says("Hi")
const end = ends() + done
const page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body></html>"

/** All rows, by the names that the tests use. */
export const rows = {
  cut: row("an answer cut after \"Hi\"", hi, cut("Hi")),
  cutCall: row(
    "an answer cut within a tool call",
    calls({ index: 0, id: "t1", function: { name: "f", arguments: "{\"a\":" } }),
    cut("")
  ),
  stalled: row("an answer that stalls after \"Hi\"", hi, cut("Hi"), { stalls: true }),
  stalledInKeepAlives: row("a server that sends a keep-alive and nothing more", ": keep-alive\n\n", cut(""), {
    stalls: true
  }),
  noDone: row("a finish reason, and no [DONE]", hi + ends(), answer("Hi")),
  onlyDone: row("[DONE], and no finish reason", hi + done, answer("Hi")),
  open: row("[DONE], and a connection that stays open", hi + end, answer("Hi"), { stalls: true }),
  noUsage: row("no usage chunk", hi + end, answer("Hi")),
  empty: row("an empty 200", "", cut("")),
  late: row("an error after \"Hi\"", hi + data({ error: { message: "quota" } }) + done, error("quota", "Hi")),
  errorText: row("an error that is a text", data({ error: "model not found" }), error("model not found")),
  objectError: row(
    "`\"object\": \"error\"`",
    data({ object: "error", message: "it broke" }),
    error("it broke")
  ),
  errorField: row("an error in a field named error", `error: {"message":"it broke"}\n\n`, error("it broke")),
  errorEvent: row(
    "an event named error",
    `event: error\ndata: {"error":{"message":"it broke"}}\n\n`,
    error("it broke")
  ),
  errorJson: row("an error as JSON with status 200", "{\"error\":{\"message\":\"it broke\"}}", error("it broke"), {
    contentType: json
  }),
  answerJson: row("a completion as JSON", JSON.stringify(completion({ content: "Hi" })), answer("Hi"), {
    contentType: json
  }),
  mislabelled: row("a stream that is labelled as JSON", hi + end, answer("Hi"), { contentType: json }),
  keepAlive: row("a keep-alive as data", "data: : keepalive\n\n" + hi + end, answer("Hi")),
  emptyData: row("empty data", "data:\n\n" + hi + end, answer("Hi")),
  emptyRole: row("an empty role", data(delta({ role: "", content: "Hi" })) + end, answer("Hi")),
  eos: row("the finish reason eos", hi + ends("eos") + done, answer("Hi")),
  model: row("a model without a slash", data(choice({ delta: { content: "Hi" } }, { model: "qwen3" })) + end, {
    _tag: "Answer",
    text: "Hi"
  }),
  noIndex: row(
    "a tool call without an index",
    calls({ id: "t1", function: { name: "f", arguments: "{}" } }) + ends("tool_calls") + done,
    { _tag: "Answer", text: "", toolCalls: [{ id: "t1", name: "f", arguments: "{}" }] }
  ),
  sameIndex: row(
    "two tool calls of one index",
    calls({ index: 0, id: "t1", function: { name: "f", arguments: "{}" } }) +
      calls({ index: 0, id: "t2", function: { name: "g", arguments: "{}" } }) + ends("tool_calls") + done,
    {
      _tag: "Answer",
      text: "",
      toolCalls: [{ id: "t1", name: "f", arguments: "{}" }, { id: "t2", name: "g", arguments: "{}" }]
    }
  ),
  parts: row("content as a list of parts", data(delta({ content: [{ type: "text", text: "Hi" }] })) + end, {
    _tag: "Answer",
    text: "Hi"
  }),
  reasoning: row("reasoning_content", data(delta({ reasoning_content: "hm" })) + hi + end, {
    _tag: "Answer",
    text: "Hi",
    reasoning: "hm"
  }),
  noCreated: row(
    "a chunk without created",
    data({ id: "c", model: "m", choices: [{ index: 0, delta: { content: "Hi" } }] }) + end,
    answer("Hi")
  ),
  detail404: row("a 404 that says why as detail", "{\"detail\":\"no model\"}", error("no model"), {
    status: 404,
    contentType: json
  }),
  text404: row("a 404 that says why as text", "{\"error\":\"no model\"}", error("no model"), {
    status: 404,
    contentType: json
  }),
  page502: row("a 502 with a page of HTML", page, error("502 Bad Gateway"), {
    status: 502,
    contentType: "text/html"
  }),
  retryField: row("retry fields", "retry: 10\n\n" + says("H") + "retry: 10\n\n" + says("i") + end, answer("Hi")),
  noBlankLine: row("a last event without a blank line", hi + ends().trimEnd(), answer("Hi")),
  gzip: row("gzip that nobody asked for", hi + end, answer("Hi"), { gzip: "with a header" }),
  gzipUnlabelled: row("gzip without a header", hi + end, answer("Hi"), { gzip: "without a header" }),
  callsSoFar: row(
    "a tool call whose deltas repeat the arguments so far",
    calls({ index: 0, id: "t1", function: { name: "f", arguments: "{\"a\":1" } }) +
      calls({ index: 0, function: { arguments: "{\"a\":1,\"b\":2}" } }) + ends("tool_calls") + done,
    { _tag: "Answer", text: "", toolCalls: [{ id: "t1", name: "f", arguments: "{\"a\":1,\"b\":2}" }] }
  ),
  callTwice: row(
    "one tool call under two indexes",
    calls({ index: 0, id: "t1", function: { name: "f", arguments: "{}" } }) +
      calls({ index: 1, id: "t1", function: { name: "f", arguments: "{}" } }) + ends("tool_calls") + done,
    { _tag: "Answer", text: "", toolCalls: [{ id: "t1", name: "f", arguments: "{}" }] }
  ),
  reasoningTwice: row(
    "reasoning in tags and in a field",
    data(delta({ reasoning_content: "hm", content: "<think>hm</think>Hi" })) + end,
    { _tag: "Answer", text: "Hi", reasoning: "hm" }
  ),
  reasoningObject: row("reasoning as an object", data(delta({ reasoning: { text: "hm" } })) + hi + end, {
    _tag: "Answer",
    text: "Hi",
    reasoning: "hm"
  }),
  half: row("a character that is cut into halves, forwarded as it comes", says("H\ud83d") + says("\ude00") + end, {
    _tag: "Answer",
    text: "H\u{1f600}"
  }),
  oneLineBreak: row("events that end with one line break", (hi + end).replaceAll("\n\n", "\n"), answer("Hi")),
  linesOfJson: row(
    "a chunk a line, without data:",
    (hi + ends()).replaceAll("data: ", "").replaceAll("\n\n", "\n"),
    answer("Hi"),
    { contentType: "application/x-ndjson" }
  ),
  answerJsonDone: row(
    "a completion as JSON, and then [DONE]",
    `${JSON.stringify(completion({ content: "Hi" }))}\n${done}`,
    answer("Hi"),
    { contentType: json }
  ),
  countingIndex: row(
    "choices whose index counts the tokens",
    data({ choices: [{ index: 1, delta: { content: "H" } }] }) +
      data({ choices: [{ index: 2, delta: { content: "i" } }] }) +
      data({ choices: [{ index: 3, delta: {}, finish_reason: "stop" }] }) + done,
    answer("Hi")
  ),
  failedGeneration: row(
    "a finish reason that is a failure",
    hi + ends("malformed_function_call") + done,
    error("malformed_function_call", "Hi")
  ),
  redirect: row("a 307 within the origin", hi + end, answer("Hi"), { redirect: "within the origin" }),
  redirectElsewhere: row("a 307 to another origin", hi + end, error("redirect"), { redirect: "to another origin" }),
  keyInError: row(
    "an error that repeats the key",
    JSON.stringify({ error: { message: `Incorrect API key provided: ${key}` } }),
    error("Incorrect API key provided"),
    { status: 401, contentType: json }
  )
} satisfies Record<string, Row>
