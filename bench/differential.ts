/**
 * The same bytes through effect-chat and through other clients: writes the table of `docs/differential.md`.
 *
 * A loopback server sends each row of `test/support/clientRows.ts` to each client, one after another. No cell is typed
 * by hand. Run with `npm run bench:differential`, after `npm ci --prefix bench`.
 */
import { NodeHttpClient } from "@effect/platform-node"
import { Effect, Either, Layer, Stream } from "effect"
import { ChatCompletions, type ChatEvent, ChatMessage, LLMConfig } from "effect-chat"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { key, type Row, rows } from "../test/support/clientRows.ts"
import { asBytes, type Client, type Heard, others } from "./others.mjs"

/** How long a client that has such a limit is to bear silence, and how long any client is given, in milliseconds. */
const silence = 1_000
const cap = 5_000

const layer = ChatCompletions.layer.pipe(Layer.provide(NodeHttpClient.layerUndici))

const effectChat: Client = {
  name: "effect-chat",
  ask: (baseUrl, millis) =>
    Effect.gen(function*() {
      const completions = yield* ChatCompletions.ChatCompletions
      const limits = { firstTokenTimeout: millis, idleTimeout: millis, maxRetries: 0 }
      const config = LLMConfig.make({ baseUrl, apiKey: key, wire: { thinkTags: true }, ...limits })
      const forwarded = { text: "", reasoning: "" }
      const ended = yield* completions.stream({ config, messages: [ChatMessage.user("Hi")] }).pipe(
        Stream.tap((event: ChatEvent.ChatEvent) =>
          Effect.sync(() => {
            if (event._tag === "TextDelta") forwarded.text += asBytes(event.text)
            if (event._tag === "ReasoningDelta") forwarded.reasoning += asBytes(event.text)
          })
        ),
        Stream.runLast,
        Effect.flatten,
        Effect.either
      )
      if (Either.isRight(ended)) {
        if (ended.right._tag !== "Finish") throw new Error("the stream ends without Finish")
        return { ...forwarded, toolCalls: ended.right.response.toolCalls, error: undefined }
      }
      const error = ended.left
      if (error._tag === "NoSuchElementException") throw new Error("the stream is empty")
      const { toolCalls = [] } = error.partial ?? {}
      return { ...forwarded, toolCalls, error: { name: error._tag, message: error.message } }
    }).pipe(Effect.provide(layer), Effect.runPromise)
}

const sentElsewhere = new Set<string>()

/** Sends the row that the path begins with. A path that does not end as that of a client was reached by a redirect. */
const makeServer = (elsewhere: () => string) =>
  createServer((request, response) => {
    request.resume()
    const [, name = "", ...path] = request.url?.split("/") ?? []
    const row: Row | undefined = Object.entries(rows).find(([known]) => known === name)?.[1]
    const isRedirected = path[0] === "redirected"
    if (row?.redirect !== undefined && !isRedirected) {
      const origin = row.redirect === "within the origin" ? "" : elsewhere()
      return void response.writeHead(307, {
        connection: "close",
        location: `${origin}/${name}/redirected/chat/completions`
      }).end()
    }
    if (elsewhere() === "") sentElsewhere.add(name)
    response.writeHead(row?.status ?? 500, {
      "content-type": row?.contentType ?? "text/plain",
      // A client must not meet a connection that was closed behind another one.
      connection: "close",
      ...(row?.gzip === "with a header" ? { "content-encoding": "gzip" } : {})
    })
    const body = row?.body ?? "no such row"
    response.write(row?.gzip === undefined ? body : gzipSync(body))
    if (row?.stalls !== true) response.end()
  })

const urls = { other: "" }
const otherServer = makeServer(() => "")
const server = makeServer(() => urls.other)

const inOneLine = (text: string): string => {
  const line = text.replace(/\s+/g, " ").replace(/127\.0\.0\.1:\d+/g, "server").trim()
  const short = line.length > 60 ? `${line.slice(0, 57)}…` : line
  return short.replaceAll("|", "\\|").replaceAll("<", "&lt;")
}

const saying = ({ message, name }: NonNullable<Heard["error"]>): string =>
  message.trim() === "" ? `${name}, without a word` : `${name}: ${inOneLine(message)}`

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

/** What is missing of what the row says. */
const lost = ({ meaning }: Row, { reasoning, text, toolCalls }: Heard): ReadonlyArray<string> => [
  ...(text === (meaning.text ?? "") ? [] : ["text"]),
  ...(meaning._tag === "Answer" && reasoning !== (meaning.reasoning ?? "") ? ["reasoning"] : []),
  ...(meaning._tag === "Answer" && !same(toolCalls, meaning.toolCalls ?? []) ? ["tool calls"] : [])
]

/** The cell of a client that came to an end. */
const judge = (row: Row, heard: Heard): string => {
  const { error } = heard
  const { meaning } = row
  const without = lost(row, heard)
  const losing = without.length === 0 ? "" : ` (${without.join(" and ")} lost)`
  if (meaning._tag === "Answer") {
    if (error !== undefined) return `✗ ${saying(error)}${losing}`
    return without.length === 0 ? "✓ answer" : `✗ answer${losing}`
  }
  if (error === undefined) {
    if (meaning._tag === "Cut") return `✗ reported as a complete answer${losing}`
    return heard.text === "" ? "✗ reported as an empty answer" : "✗ reported as a complete answer"
  }
  const isSaid = meaning._tag === "Cut" || error.message.includes(meaning.message)
  const shows = error.message.includes(key) ? " (with the key)" : ""
  return `${isSaid && shows === "" && without.length === 0 ? "✓" : "✗"} ${saying(error)}${losing}${shows}`
}

const capped = <A>(promise: Promise<A>): Promise<A | undefined> => Promise.race([promise, sleep(cap, undefined)])

const clients = [effectChat, ...others]

const line = async ([name, row]: readonly [string, Row], port: number): Promise<string> => {
  const cells: Array<string> = []
  for (const client of clients) {
    const heard = await capped(client.ask(`http://127.0.0.1:${port}/${name}/v1`, silence))
    const isSent = sentElsewhere.delete(name)
    const told = heard === undefined ? "✗ hangs" : judge(row, heard)
    cells.push(isSent ? "✗ the prompt went to the other origin" : told)
    server.closeAllConnections()
  }
  return `| ${row.title} | ${cells.join(" | ")} |`
}

const page = fileURLToPath(new URL("../docs/differential.md", import.meta.url))
const marks = ["<!-- generated -->", "<!-- /generated -->"] as const

const listen = async (server: Server): Promise<number> => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return (server.address() as AddressInfo).port
}

urls.other = `http://127.0.0.1:${await listen(otherServer)}`
const port = await listen(server)
const lines: Array<string> = []
for (const entry of Object.entries(rows)) lines.push(await line(entry, port))
const head = [
  `| bytes | ${clients.map((client) => client.name).join(" | ")} |`,
  `|${" --- |".repeat(clients.length + 1)}`
]
const right = clients.map((_, at) => `${lines.filter((text) => text.split(" | ")[at + 1]?.startsWith("✓")).length}`)
const table = [...head, ...lines, `| **right, of ${lines.length}** | ${right.join(" | ")} |`].join("\n")
const [before = "", rest = ""] = readFileSync(page, "utf8").split(marks[0])
const after = rest.split(marks[1])[1] ?? ""
writeFileSync(page, `${before}${marks[0]}\n\n${table}\n\n${marks[1]}${after}`)
process.stdout.write(`${table}\n`)
// Clients that hang still hold their connections.
process.exit(0)
