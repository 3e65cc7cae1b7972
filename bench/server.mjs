// The server of the benchmarks, in a process of its own: it says its port to its parent, and answers by the path.
//
//   /burst/N/v1     N small deltas in writes of 64 KiB        /paced/N/v1   N small deltas, a write each
//   /slow/N/MS/v1   N small deltas, one every MS milliseconds /bulk/MIB/v1  MiB of comments and a little text
//   /small/v1       three deltas, or a small answer that is no stream
import { once } from "node:events"
import { createServer } from "node:http"

const words = ["The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", ".\n"]

/** @param {unknown} delta @param {string | null} reason */
const event = (delta, reason = null) =>
  `data: ${
    JSON.stringify({
      id: "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
      object: "chat.completion.chunk",
      created: 1741570283,
      model: "gpt-4o-mini-2024-07-18",
      service_tier: "default",
      system_fingerprint: "fp_06737a9306",
      choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }]
    })
  }\n\n`

const head = event({ role: "assistant", content: "" })
const tail = event({}, "stop") +
  `data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}}\n\ndata: [DONE]\n\n`

/** @type {Map<number, ReadonlyArray<Buffer>>} */
const made = new Map()

/** The events of an answer of `count` deltas. @param {number} count */
const eventsOf = (count) => {
  const known = made.get(count)
  if (known !== undefined) return known
  const events = [head]
  for (let n = 0; n < count; n++) events.push(event({ content: words[n % words.length] }))
  const buffers = [...events, tail].map((text) => Buffer.from(text))
  made.set(count, buffers)
  return buffers
}

/** @param {ReadonlyArray<Buffer>} buffers @param {number} size */
const inWrites = (buffers, size) => {
  const all = Buffer.concat(buffers)
  return Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.subarray(n * size, (n + 1) * size))
}

/** Lets a reader that is quick enough take what was written before the next write comes. */
const pause = async () => {
  const until = process.hrtime.bigint() + 60_000n
  do await new Promise((resolve) => setImmediate(resolve))
  while (process.hrtime.bigint() < until)
}

/** @param {number} millis */
const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

/** @param {import("node:http").ServerResponse} response @param {Iterable<Buffer>} writes @param {() => unknown} pause */
const stream = async (response, writes, pause) => {
  const closed = once(response, "close")
  response.writeHead(200, { "content-type": "text/event-stream" })
  for (const bytes of writes) {
    if (response.destroyed) return
    if (!response.write(bytes)) await Promise.race([once(response, "drain"), closed])
    await pause()
  }
  response.end()
}

/** A long answer of little text. @param {number} mebibytes */
const bulk = function*(mebibytes) {
  yield Buffer.from(head)
  const comment = Buffer.from(`: ${"keep-alive ".repeat(32 * 93)}\n\n`)
  const ignored = Buffer.from(`data: {"choices":[],"padding":"${"x".repeat(32 * 1024)}"}\n\n`)
  const pair = Buffer.concat([comment, ignored])
  for (let sent = 0; sent < mebibytes * 1024 * 1024; sent += pair.length) yield pair
  yield Buffer.from(event({ content: "done" }) + tail)
}

const whole = JSON.stringify({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1741570283,
  model: "gpt-4o-mini-2024-07-18",
  choices: [{
    index: 0,
    message: { role: "assistant", content: "The quick brown fox jumps over the lazy dog.", refusal: null },
    logprobs: null,
    finish_reason: "stop"
  }],
  usage: { prompt_tokens: 10, completion_tokens: 10, total_tokens: 20 }
})

const server = createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8").on("data", (text) => body += text).on("end", () => {
    const [, kind, first = "0", second = "0"] = (request.url ?? "").split("/")
    const count = Number(first)
    if (kind === "burst") void stream(response, inWrites(eventsOf(count), 64 * 1024), () => {})
    else if (kind === "paced") void stream(response, eventsOf(count), pause)
    else if (kind === "slow") void stream(response, eventsOf(count), () => sleep(Number(second)))
    else if (kind === "bulk") void stream(response, bulk(count), () => {})
    else if (body.includes("\"stream\":true")) void stream(response, [Buffer.concat(eventsOf(3))], () => {})
    else response.writeHead(200, { "content-type": "application/json" }).end(whole)
  })
})

server.listen(0, "127.0.0.1", () => process.send?.(server.address()))
process.on("disconnect", () => process.exit())
