/**
 * 2,000 conversations that stream at once, in one process, against the local server in another.
 *
 * Each client runs in a process of its own: effect-chat's manager over both HTTP clients of `@effect/platform-node`, and
 * the `openai` package with plain promises. Every answer is compared with what the server was to say. Run with
 * `npm run bench:streams -- [CONVERSATIONS] [ROUNDS]`.
 */
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Chunk, Effect, Layer, Stream } from "effect"
import { ChatManager } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:http"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { OpenAI } from "openai"

const tokens = 40
const delay = 250

const promptOf = (n: number): string => `conversation ${n}`
const answerTo = (prompt: string): string =>
  Array.from({ length: tokens - 2 }, (_, index) => `word${index}`).join(" ") + ` ${prompt}`

/** What a client went through. */
interface Result {
  readonly whole: number
  readonly atOnce: number
  readonly gaps: { readonly median: number; readonly p99: number; readonly slowest: number }
  readonly firstToken: number
  readonly cpu: number
  readonly memory: number
  readonly seconds: number
}

/** Watches the streams of a client. */
class Watch {
  private readonly begun = performance.now()
  private readonly cpu = process.cpuUsage()
  private readonly gaps: Array<number> = []
  private readonly texts: Array<string> = []
  private readonly last: Array<number> = []
  private running = 0
  private atOnce = 0
  private firstToken = 0
  private readonly before = process.memoryUsage.rss()
  private memory = this.before
  // @effect-diagnostics-next-line globalTimers:off -- the same watch for clients without Effect
  private readonly sampling = setInterval(() => {
    this.memory = Math.max(this.memory, process.memoryUsage.rss())
  }, 100)

  /** The next piece of a conversation's answer. */
  piece(n: number, text: string): void {
    const now = performance.now()
    const last = this.last[n]
    if (last === undefined) {
      this.running++
      this.atOnce = Math.max(this.atOnce, this.running)
      this.firstToken = Math.max(this.firstToken, now - this.begun)
    } else {
      this.gaps.push(now - last)
    }
    this.last[n] = now
    this.texts[n] = (this.texts[n] ?? "") + text
  }

  end(): void {
    this.running--
  }

  result(): Result {
    const seconds = (performance.now() - this.begun) / 1000
    const { system, user } = process.cpuUsage(this.cpu)
    clearInterval(this.sampling)
    const sorted = this.gaps.sort((a, b) => a - b)
    const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? NaN
    return {
      whole: this.texts.filter((text, n) => text === answerTo(promptOf(n))).length,
      atOnce: this.atOnce,
      gaps: { median: at(0.5), p99: at(0.99), slowest: sorted.at(-1) ?? NaN },
      firstToken: this.firstToken,
      cpu: (system + user) / 1e6,
      memory: (this.memory - this.before) / 1024 / 1024,
      seconds
    }
  }
}

type Client = (url: string, count: number) => Promise<Result>

const effectChat = (http: typeof NodeHttpClient.layer): Client => (baseUrl, count) =>
  Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config: { baseUrl, apiKey: "none", systemPrompt: "" } })
    const watch = new Watch()
    yield* Effect.forEach(Array.from({ length: count }).keys(), (n) =>
      Effect.gen(function*() {
        const chat = yield* manager.getChat(`${n}`)
        yield* Stream.runForEachChunk(
          chat.chatStream(promptOf(n)),
          (texts) => Effect.sync(() => Chunk.forEach(texts, (text) => watch.piece(n, text)))
        )
        watch.end()
      }), { concurrency: "unbounded", discard: true })
    return watch.result()
  }).pipe(Effect.scoped, Effect.provide(http), Effect.runPromise)

const openai: Client = async (baseURL, count) => {
  const client = new OpenAI({ baseURL, apiKey: "none" })
  const watch = new Watch()
  await Promise.all(Array.from({ length: count }, async (_, n) => {
    const history: Array<OpenAI.ChatCompletionMessageParam> = [{ role: "user", content: promptOf(n) }]
    const stream = await client.chat.completions.create({ model: "m", messages: history, stream: true })
    let answer = ""
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta.content
      if (!text) continue
      answer += text
      watch.piece(n, text)
    }
    history.push({ role: "assistant", content: answer })
    watch.end()
  }))
  return watch.result()
}

const clients: Readonly<Record<string, Client>> = {
  "openai, promises (fetch)": openai,
  "effect-chat (node:http)": effectChat(NodeHttpClient.layer),
  "effect-chat (undici)": effectChat(NodeHttpClient.layerUndici)
}

const serve = Effect.gen(function*() {
  const { url } = yield* LocalServer.LocalServer
  process.stdout.write(`${url}\n`)
  return yield* Effect.never
}).pipe(
  Effect.provide(
    LocalServer.layer({ tokenDelay: delay, answer: ({ messages }) => answerTo(messages.at(-1)?.content ?? "") }).pipe(
      Layer.provide(NodeHttpServer.layerServer(createServer, { host: "127.0.0.1", port: 0, backlog: 4096 }))
    )
  )
)

/** Runs this file in another process, and gives the first line that it prints. */
const start = async (...words: ReadonlyArray<string>) => {
  const file = fileURLToPath(import.meta.url)
  const child = spawn(process.execPath, ["--import", "tsx", file, ...words], { stdio: ["ignore", "pipe", "inherit"] })
  const [line] = await Promise.race([
    once(createInterface(child.stdout), "line"),
    once(child, "exit").then(() => Promise.reject(new Error(`${words.join(" ")} printed nothing`)))
  ])
  return { child, line: String(line) }
}

const median = (values: ReadonlyArray<number>): number =>
  Array.from(values).sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? NaN

const compare = async (count: number, rounds: number) => {
  const { child: server, line: url } = await start("server")
  const results = new Map<string, Array<Result>>()
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(clients)) {
      const { child, line } = await start("client", name, url, `${count}`)
      results.set(name, [...results.get(name) ?? [], JSON.parse(line)])
      child.kill()
    }
  }
  server.kill()

  let base: Record<string, number> | undefined
  const rows = Array.from(results, ([client, all]) => {
    const numbers = {
      "slowest gap, ms": Math.max(...all.map(({ gaps }) => gaps.slowest)),
      "p99 gap, ms": median(all.map(({ gaps }) => gaps.p99)),
      "median gap, ms": median(all.map(({ gaps }) => gaps.median)),
      "last first token, ms": median(all.map(({ firstToken }) => firstToken)),
      "CPU, s": median(all.map(({ cpu }) => cpu)),
      "added memory, MiB": Math.max(...all.map(({ memory }) => memory))
    }
    const beside: Record<string, number> = base ??= numbers
    const cells = Object.entries(numbers).map(([name, value]) => [
      name,
      `${value.toFixed(value < 100 ? 1 : 0)} (${(value / (beside[name] ?? NaN)).toFixed(2)}×)`
    ])
    const lost = all.map(({ whole }) => count - whole).reduce((a, b) => a + b)
    return { client, "at once": Math.min(...all.map(({ atOnce }) => atOnce)), lost, ...Object.fromEntries(cells) }
  })
  console.log(`${count} conversations of ${tokens} tokens, one every ${delay} ms; ${rounds} rounds:`)
  console.table(rows)
}

const [role = "2000", second = "2", url = "", count = ""] = process.argv.slice(2)
if (role === "server") {
  await Effect.runPromise(serve)
} else if (role === "client") {
  const result = await clients[second]?.(url, Number(count))
  process.stdout.write(`${JSON.stringify(result)}\n`)
} else {
  await compare(Number(role), Number(second))
}
