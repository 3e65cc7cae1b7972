/**
 * The longest time for which an answer keeps the event loop busy at a stretch, for hostile bodies of several sizes.
 *
 * A server in another process sends each body in writes of 64 KiB: as large as the default limits allow, and smaller. The
 * delay of a body is that of the worst size, and the shortest of all rounds. On Linux it is the time for which the thread
 * runs, so that other programs on the machine do not count. Run with `npm run bench:eventLoop -- [ROUNDS] [PART OF A NAME]`.
 */
import { FetchHttpClient } from "@effect/platform"
import { Effect, Schema, Stream } from "effect"
import { LLMChat } from "effect-chat"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import { platform } from "node:os"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"

type Kind = "events" | "one event" | "document" | "object"

/** A body of about `size` characters. */
interface Body {
  readonly kind: Kind
  readonly make: (size: number) => string
}

const json = JSON.stringify
const event = (value: unknown): string => `data: ${json(value)}\n\n`
const choice = (delta: object): object => ({ id: "c", model: "m", choices: [{ index: 0, delta }] })
const finish = `${
  event({ id: "c", model: "m", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })
}data: [DONE]\n\n`

/** As many parts as fit. */
const fill = (size: number, part: (n: number) => string): string => {
  const parts: Array<string> = []
  for (let n = 0, length = 0; length < size; n++) {
    const more = part(n)
    parts.push(more)
    length += more.length
  }
  return parts.join("")
}

const events = (delta: (n: number) => object): Body => ({
  kind: "events",
  make: (size) => fill(size, (n) => event(choice(delta(n)))) + finish
})

const chunks = (chunk: (n: number) => object): Body => ({
  kind: "events",
  make: (size) => fill(size, (n) => event(chunk(n))) + event(choice({ content: "a" })) + finish
})

const oneEvent = (delta: (size: number) => object): Body => ({
  kind: "one event",
  make: (size) => event(choice(delta(size))) + finish
})

const documentOf = (content: string): string =>
  json({ id: "c", model: "m", choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }] })

const document = (make: (size: number) => string): Body => ({ kind: "document", make })

const object = (content: (size: number) => string): Body => ({
  kind: "object",
  make: (size) => documentOf(content(size))
})

const call = (fields: object, index = 0): object => ({ tool_calls: [{ index, ...fields }] })

const list = (size: number, item: (n: number) => object): ReadonlyArray<unknown> =>
  JSON.parse(`[${fill(size, (n) => `${json(item(n))},`)}0]`).slice(0, -1)

const plain: Readonly<Record<Kind, Body>> = {
  events: events((n) => ({ content: `word${n} ` })),
  "one event": oneEvent((size) => ({ content: "word ".repeat(size / 5) })),
  document: document((size) => documentOf("word ".repeat(size / 5))),
  object: object((size) => json({ items: list(size, () => ({ a: 1 })) }))
}

/** About the default limits, in MiB. */
const limits: Readonly<Record<Kind, number>> = { events: 16, "one event": 8, document: 16, object: 4 }

/** The parts of the limits that are tried: fewer keys and values than are too many can take longer than too many. */
const shares = [0.98, 0.5, 0.2, 0.08]

const half = (size: number): number => Math.floor(size / 2)

const hostile: Readonly<Record<string, Body>> = {
  "calls, each with an id": events((n) => call({ id: `c${n}`, function: { name: "f", arguments: "{}" } }, n)),
  "calls with one id": events((n) => call({ id: "c", function: { name: "f", arguments: `{"a":${n}}` } }, n)),
  "one call in small pieces": events((n) => call({ function: { arguments: n === 0 ? "{\"a\":\"" : "a" } })),
  "one call that repeats": events(() => call({ id: "c", function: { name: "f", arguments: "{}" } })),
  "one call whose name grows": events(() => call({ function: { name: "name" } })),
  "one call with ever other members": events((n) => call({ [`member${n}`]: n })),
  "calls in one event": oneEvent((size) => ({ tool_calls: list(size, (index) => ({ index, id: `c${index}` })) })),
  "arguments nested deeply, twice": oneEvent((size) => {
    const deep = "[".repeat(size / 4) + "]".repeat(size / 4)
    const piece = { index: 0, id: "c", function: { name: "f", arguments: deep } }
    return { tool_calls: [piece, piece] }
  }),
  "white space before the first word": events(() => ({ content: " \n " })),
  "white space in the reasoning's gap": events((n) => ({ content: n === 0 ? "<think>a</think>" : " \n " })),
  "halves of tags": events((n) => ({ content: n === 0 ? "<think>" : "</thin" })),
  "reasoning twice, almost the same": events((n) =>
    n === 0 ? { content: "<think>" } : n % 2 === 0 ? { content: "a" } : { reasoning: n === 1 ? "b" : "a" }
  ),
  "reasoning twice, of a period": oneEvent((size) => ({
    content: `<think>${"a".repeat(half(size))}</think>`,
    reasoning: `b${"a".repeat(size / 4)}`
  })),
  "usage before the first word": chunks((n) => ({ choices: [], usage: { prompt_tokens: n, completion_tokens: n } })),
  "ever other members": chunks((n) => ({ choices: [], [`member${n}`]: n })),
  "lists that grow": events((n) => ({ list: [n], annotations: [{ n }] })),
  "annotations so far, one long": events(() => ({ annotations: [{ text: "a".repeat(4096) }] })),
  "details with ever other members": events((n) => ({ reasoning_details: [{ index: 0, [`member${n}`]: n }] })),
  "details, each of its own": events((n) => ({ reasoning_details: [{ index: n, type: "reasoning.text", text: "a" }] })),
  "thinking in parts of other types": events((n) => ({
    content: [{ type: "thinking", thinking: [{ type: `type${n}`, text: "a" }] }]
  })),
  "reasoning that is an object": events((n) => ({ reasoning: { text: "a", [`member${n}`]: n } })),
  "choices that count": chunks((n) => ({ choices: [{ index: n + 1, delta: { content: "a" } }] })),
  "empty events": { kind: "events", make: (size) => fill(size, () => "data: {\"choices\":[]}\n\n") + finish },
  "comments": { kind: "events", make: (size) => fill(size, () => ": ping\n") + finish },
  "lines that are no fields": {
    kind: "events",
    make: (size) => `data: {}\n\n${fill(size, (n) => `word${n}\n`)}${finish}`
  },
  "lines of JSON": { kind: "events", make: (size) => fill(size, (n) => `${json(choice({ content: `word${n}` }))}\n`) },
  "events of many lines": {
    kind: "events",
    make: (size) => `${fill(size, (n) => `data: ${json(choice({ content: `word${n}` }))}\n`)}\n${finish}`
  },
  "a document that is nested deeply": document((size) =>
    `{"choices":${"[".repeat(half(size))}${"]".repeat(half(size))}}`
  ),
  "a document of empty lists": document((size) => `{"choices":[${"[],".repeat(size / 3)}{}]}`),
  "a document of keys that differ": document((size) =>
    `{${fill(Math.min(size, 900_000), (n) => `"k${n}":1,`)}"choices":[{"message":{"content":"a"}}]}`
  ),
  "a document of escapes": document((size) => documentOf("\n".repeat(half(size)))),
  "a document of reasoning in tags": document((size) => documentOf(`<think>${"<".repeat(size)}</think>a`)),
  "a document with reasoning in parts": document((size) =>
    json({
      choices: [{
        message: { content: "a", reasoning_details: list(size / 8, (n) => ({ type: "t", text: `a${n}` })) },
        finish_reason: "stop"
      }]
    })
  ),
  "a document with one call": document((size) =>
    json({
      choices: [{
        message: { tool_calls: [{ id: "c", function: { name: "f", arguments: json({ a: "\"".repeat(size / 6) }) } }] },
        finish_reason: "tool_calls"
      }]
    })
  ),
  "HTML": document((size) => `<html>${"<p ".repeat(size / 3)}`),
  "an error of spaces": document((size) => json({ error: { message: " ".repeat(size) } })),
  "an error nested in JSON": document((size) => json({ error: { message: `{"error":`.repeat(size / 9) } })),
  "open fences": object((size) => "```json\n".repeat(size / 8)),
  "fences and spaces": object((size) => `\`\`\`json${" \n".repeat(half(size))}`),
  "open brackets": object((size) => "{".repeat(size)),
  "an object that is nested deeply": object((size) => "{\"a\":".repeat(size / 7) + "1" + "}".repeat(size / 7)),
  "many objects": object((size) => "{\"a\":1} ".repeat(size / 8)),
  "tags of reasoning": object((size) => "<think></think>".repeat(size / 15)),
  "spaces before a tag": object((size) => `${" ".repeat(size)}<think>`),
  "text with quotes": object((size) => json({ a: `${"\"".repeat(size / 3)}` })),
  "items of another type": object((size) => json({ items: list(size, () => ({ a: "a" })) })),
  "items that are null": object((size) => json({ items: list(size, () => ({ a: 1, b: null })) }))
}

const bodies: Readonly<Record<string, Body>> = {
  ...Object.fromEntries(Object.entries(plain).map(([kind, body]) => [`plain: ${kind}`, body])),
  ...hostile
}

const serve = async (): Promise<void> => {
  const server = createServer((incoming, response) => {
    incoming.resume()
    const [, name = "", size = ""] = incoming.url?.split("/") ?? []
    const body = bodies[decodeURIComponent(name)]
    if (body === undefined) return void response.writeHead(404).end()
    const isEvents = body.kind === "events" || body.kind === "one event"
    response.writeHead(200, { "content-type": isEvents ? "text/event-stream" : "application/json" })
    const bytes = Buffer.from(body.make(Number(size)))
    const write = (at: number): void => {
      const next = at + 2 ** 16
      if (at >= bytes.length) response.end()
      else if (response.write(bytes.subarray(at, next))) setImmediate(write, next)
      else response.once("drain", () => write(next))
    }
    write(0)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("The server has no port")
  process.stdout.write(`http://127.0.0.1:${address.port}\n`)
}

const Items = Schema.Struct({
  items: Schema.Array(Schema.Struct({ a: Schema.Number, b: Schema.optional(Schema.Number) }))
})

const request = (url: string, name: string, size: number) =>
  Effect.gen(function*() {
    const kind = bodies[name]?.kind
    const baseUrl = `${url}/${encodeURIComponent(name)}/${size}`
    const chat = yield* LLMChat.make({ baseUrl, systemPrompt: "", maxRetries: 0 })
    if (kind === "document") return yield* chat.chat("Hi")
    return yield* kind === "object" ? chat.askObject("Hi", Items) : Stream.runDrain(chat.chatEvents("Hi"))
  }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer), Effect.either, Effect.runPromise)

/** For how long the main thread has run, in milliseconds. Linux does not count the time of other programs. */
const threadTime = (): number =>
  platform() === "linux" ? Number(readFileSync("/proc/self/schedstat", "utf8").split(" ")[0]) / 1e6 : performance.now()

/** The longest time between two turns of the event loop while something runs. */
const longestDelay = async (run: () => Promise<unknown>): Promise<number> => {
  await sleep(100)
  let last = threadTime()
  let longest = 0
  // @effect-diagnostics-next-line globalTimers:off -- it measures the loop that Effect runs on
  const timer = setInterval(() => {
    const now = threadTime()
    longest = Math.max(longest, now - last)
    last = now
  }, 1)
  await run()
  await sleep(10)
  clearInterval(timer)
  return longest
}

/** Asks for one body in each size, and prints the longest delay and how the calls ended. */
const ask = async (url: string, name: string): Promise<void> => {
  const kind = bodies[name]?.kind ?? "events"
  // The first answers meet code that is not compiled yet.
  for (let n = 0; n < 5; n++) await request(url, `plain: ${kind}`, 2 ** 20)
  const ends: Array<string> = []
  let [delay, at] = [0, 0]
  for (const share of shares) {
    const size = Math.floor(share * limits[kind] * 2 ** 20)
    const longest = await longestDelay(async () => {
      const result = await request(url, name, size)
      ends.push(result._tag === "Right" ? "answer" : result.left._tag)
    })
    if (longest > delay) [delay, at] = [longest, size / 2 ** 20]
  }
  const rss = process.resourceUsage().maxRSS / 1024
  process.stdout.write(`${json({ delay, at, end: ends.join(", "), rss })}\n`)
}

interface Result {
  readonly delay: number
  readonly at: number
  readonly end: string
  readonly rss: number
}

const start = async (...words: ReadonlyArray<string>) => {
  const file = fileURLToPath(import.meta.url)
  const child = spawn(process.execPath, ["--import", "tsx", file, ...words], { stdio: ["ignore", "pipe", "inherit"] })
  const [line] = await Promise.race([
    once(createInterface(child.stdout), "line"),
    once(child, "exit").then(() => [json({ delay: Infinity, at: 0, end: "the process died", rss: 0 })])
  ])
  return { child, line: String(line) }
}

const compare = async (rounds: number, part: string): Promise<void> => {
  const { child: server, line: url } = await start("server")
  const results = new Map<string, Result>()
  const names = Object.keys(bodies).filter((name) => name.includes(part))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const { child, line } = await start("client", url, name)
      child.kill()
      const result: Result = JSON.parse(line)
      if (result.delay <= (results.get(name)?.delay ?? Infinity)) results.set(name, result)
      process.stderr.write(`${name}: ${line}\n`)
    }
  }
  server.kill()
  console.log(`The shortest of ${rounds} rounds:`)
  console.table(names.map((name) => {
    const { at = 0, delay = 0, end, rss = 0 } = results.get(name) ?? {}
    return {
      body: name,
      kind: bodies[name]?.kind,
      "longest delay, ms": Math.round(delay),
      "of a body of, MiB": at.toFixed(1),
      "memory, MiB": Math.round(rss),
      ends: end
    }
  }))
  console.log(`The longest of all: ${Math.max(...names.map((name) => results.get(name)?.delay ?? 0)).toFixed(0)} ms`)
}

const [role = "2", second = "", third = ""] = process.argv.slice(2)
if (role === "server") await serve()
else if (role === "client") await ask(second, third)
else await compare(Number(role), second)
