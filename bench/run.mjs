// What a token costs, through this library and through others: `npm run bench`, or `npm run bench -- ROUNDS [ONLY…]`
// with ONLY of cpu, manager, linear, at-once, first, ask, memory, import, size.
//
// The server runs in a process of its own, and so does each client, ROUNDS times (default 3): in turns, or, where one
// figure is of a whole process, one after another. All figures of a row are medians; a ratio is the median of the ratios
// to the loop by hand in the same turn, or round. Writes results.json beside this file.
import { execFileSync, fork, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { bundleSize } from "./size.mjs"

const here = (/** @type {string} */ file) => fileURLToPath(new URL(file, import.meta.url))
const say = (/** @type {string} */ line) => process.stdout.write(`${line}\n`)

const [rounds = "3", ...chosen] = process.argv.slice(2)
const wanted = (/** @type {string} */ what) => chosen.length === 0 || chosen.includes(what)

if (!existsSync(here("node_modules"))) execFileSync("npm", ["ci", "--prefix", here(".")], { stdio: "inherit" })
execFileSync("npm", ["run", "--silent", "build"], { cwd: here(".."), stdio: "inherit" })

const server = fork(here("server.mjs"))
const [{ port }] = await once(server, "message")
const address = `http://127.0.0.1:${port}`

/** @param {string} what @param {string} peer @param {number} n */
const measure = (what, peer, n) => {
  const { status, stderr, stdout } = spawnSync(
    process.execPath,
    [here("measure.mjs"), what, peer, address, String(n)],
    { encoding: "utf8" }
  )
  if (status !== 0) throw new Error(`${what} ${peer}: ${stderr}`)
  return JSON.parse(stdout)
}

/**
 * A figure of every peer for every turn, of processes that live side by side and work one at a time: where the machine is
 * slower for a while, it is so for all.
 *
 * @param {string} what
 * @param {ReadonlyArray<string>} peers
 * @param {{ readonly warm: number, readonly turns: number, readonly requests: number }} sizes
 * @param {number} [n]
 */
const inTurns = async (what, peers, { requests, turns, warm }, n = 1) => {
  const takers = peers.map((peer) => {
    const taker = fork(here("measure.mjs"), [what, peer, address, String(n)])
    /** @type {Promise<never>} */
    const gone = new Promise((_, reject) => {
      taker.once("exit", (_, signal) => {
        if (signal !== "SIGTERM") reject(new Error(`${what} ${peer} ended by itself`))
      })
    })
    return { peer, process: taker, gone, figures: /** @type {Array<number>} */ ([]) }
  })
  const turn = async (/** @type {typeof takers[number]} */ { gone, process }, /** @type {number} */ requests) => {
    process.send(requests)
    const [figure] = await Promise.race([once(process, "message"), gone])
    return figure
  }
  if (warm > 0) { for (const taker of takers) await turn(taker, warm) }
  for (let time = 0; time < turns; time++) {
    // Nobody always comes after the same one.
    for (let place = 0; place < takers.length; place++) {
      const taker = takers[(place * (time % 2 === 0 ? 1 : takers.length - 1) + time) % takers.length]
      taker?.figures.push(await turn(taker, requests))
    }
  }
  for (const taker of takers) taker.process.kill()
  return new Map(takers.map(({ figures, peer }) => [peer, figures]))
}

/**
 * The CPU time per token of answers of N tokens. A turn is long enough to forget what the others left in the caches.
 *
 * @param {"burst" | "paced"} mode @param {ReadonlyArray<string>} peers @param {number} n
 */
const cpuOfToken = (mode, peers, n) =>
  inTurns(
    mode,
    peers,
    mode === "burst"
      ? { warm: 200_000 / n, turns: 3, requests: Math.ceil(180_000 / n) }
      : { warm: 200_000 / n, turns: 5, requests: Math.ceil(20_000 / n) },
    n
  )

/** @typedef {ReadonlyMap<string, ReadonlyArray<number>>} Figures of every row, made side by side */

/**
 * A figure of every row, one after another.
 *
 * @param {(row: string, column: string) => number} figure
 * @returns {(rows: ReadonlyArray<string>, column: string) => Figures}
 */
const oneByOne = (figure) => (rows, column) => new Map(rows.map((row) => [row, [figure(row, column)]]))

/** @param {ReadonlyArray<number>} numbers */
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN

/** To four digits. @param {number} number */
const rounded = (number) => Number(number.toPrecision(4))

const loop = "loop"
const ours = ["effect-chat-fetch", "effect-chat-undici"]
const handWritten = ["hand-written-fetch", "hand-written-undici"]
const peers = [loop, ...handWritten, ...ours, "openai", "ai-sdk", "langchain"]

const managers = ["plain", "limits", "fallback", "both", "hand-written", "tools"].map((kind) => `manager-${kind}`)

/** @type {Record<string, string>} */
const names = {
  "manager-plain": "a manager",
  "manager-limits": "with limits",
  "manager-fallback": "with a fallback",
  "manager-both": "with limits and a fallback",
  "manager-tools": "with tools, none of which is called",
  "manager-hand-written": "over a hand-written service",
  loop: "loop by hand (fetch)",
  "effect-chat-fetch": "effect-chat, FetchHttpClient",
  "effect-chat-undici": "effect-chat, NodeHttpClient.layerUndici",
  "hand-written-fetch": "by hand, FetchHttpClient",
  "hand-written-undici": "by hand, NodeHttpClient.layerUndici",
  openai: "openai 7.57.0",
  "ai-sdk": "ai 7.0.173 + @ai-sdk/openai-compatible 3.0.92",
  langchain: "@langchain/openai 1.6.0"
}

/** @type {Record<string, unknown>} */
const results = { node: process.version, cpu: cpus()[0]?.model, cpus: cpus().length, rounds: Number(rounds) }

/**
 * Measures peers round by round, prints a table, and keeps it.
 *
 * @template {string} Column
 * @param {string} title
 * @param {string} unit
 * @param {ReadonlyArray<Column>} columns
 * @param {ReadonlyArray<string>} rows
 * @param {(rows: ReadonlyArray<string>, column: Column) => Figures | Promise<Figures>} measured
 * @param {number} [times] how often a round is run, where single ones differ much
 */
const table = async (title, unit, columns, rows, measured, times = 1) => {
  /** @type {Map<string, Array<number>>} */
  const seen = new Map()
  /** @type {Map<string, Array<number>>} */
  const ratios = new Map()
  const add = (
    /** @type {typeof seen} */ map,
    /** @type {string} */ key,
    /** @type {ReadonlyArray<number>} */ values
  ) => map.set(key, [...(map.get(key) ?? []), ...values])
  for (let round = 0; round < Number(rounds) * times; round++) {
    for (const column of columns) {
      const figures = await measured(rows, column)
      const base = figures.get(rows[0] ?? "") ?? []
      for (const [row, values] of figures) {
        add(seen, `${row} ${column}`, values)
        add(ratios, `${row} ${column}`, values.map((value, n) => value / (base[n] ?? NaN)))
      }
    }
  }
  const width = Math.max(...rows.map((row) => (names[row] ?? row).length))
  say(`\n${title} (${unit})`)
  say(`${"".padEnd(width)}${columns.map((column) => column.padStart(20)).join("")}`)
  const kept = rows.map((row) => {
    const cells = columns.map((column) => {
      const key = `${row} ${column}`
      return {
        column,
        median: median(seen.get(key) ?? []),
        ratio: median(ratios.get(key) ?? []),
        all: seen.get(key)?.map(rounded)
      }
    })
    const texts = cells.map(({ median, ratio }) => `${median.toFixed(2)}  ×${ratio.toFixed(2)}`.padStart(20))
    say(`${(names[row] ?? row).padEnd(width)}${texts.join("")}`)
    return { name: names[row] ?? row, cells }
  })
  results[title] = { unit, rows: kept }
}

if (wanted("cpu")) {
  await table(
    "CPU time per token, an answer of 20 000 tokens",
    "µs",
    /** @type {const} */ (["burst", "paced"]),
    peers,
    (peers, mode) => cpuOfToken(mode, peers, 20_000)
  )
}
if (wanted("manager")) {
  await table(
    "CPU time per token in a manager, an event a read",
    "µs",
    ["20000"],
    managers,
    (rows, n) => inTurns("manager", rows, { warm: 10, turns: 7, requests: 3 }, Number(n))
  )
}
if (wanted("linear")) {
  await table(
    "CPU time per token, by the answer's length, in burst",
    "µs",
    ["10000", "100000"],
    [loop, ...ours, "openai"],
    (peers, n) => cpuOfToken("burst", peers, Number(n))
  )
}
if (wanted("at-once")) {
  await table(
    "CPU time per token, streams at once, an event a write",
    "µs",
    ["1", "1000"],
    [loop, ...ours, "openai"],
    oneByOne((peer, n) => measure("at-once", peer, Number(n)).micros)
  )
}
if (wanted("first")) {
  await table(
    "Time to the first token, 200 requests",
    "ms",
    ["after 200", "after 2000"],
    [loop, ...handWritten, ...ours, "openai"],
    (peers, column) => inTurns("first", peers, { warm: column === "after 200" ? 200 : 2000, turns: 10, requests: 20 })
  )
}
if (wanted("ask")) {
  await table(
    "Answers that are no stream, one after another",
    "requests a second",
    ["the first 1000", "after 6000"],
    [loop, ...handWritten, ...ours, "openai"],
    (peers, column) =>
      inTurns(
        "ask",
        peers,
        column === "after 6000" ? { warm: 6000, turns: 12, requests: 250 } : { warm: 0, turns: 20, requests: 50 }
      )
  )
}
if (wanted("memory")) {
  say("\nMemory over a stream of 1 GiB (MiB resident)")
  results["Memory over a stream of 1 GiB"] = [loop, ...ours].map((peer) => {
    const seen = measure("memory", peer, 1024)
    say(
      `${
        (names[peer] ?? peer).padEnd(42)
      }start ${seen.start}, peak ${seen.peak}, the second half above the first ${seen.growthInSecondHalf}`
    )
    return { name: names[peer], ...seen }
  })
}
if (wanted("import")) {
  const time = (/** @type {string} */ what) => {
    const run = spawnSync(process.execPath, [here("import.mjs"), what], { encoding: "utf8" })
    return Number(run.stdout)
  }
  await table(
    "Import",
    "ms",
    ["time"],
    ["the modules of effect and @effect/platform that it uses", "effect-chat"],
    oneByOne((what) => time(what === "effect-chat" ? "library" : "modules")),
    9
  )
}
if (wanted("size")) {
  const sizes = {
    "import { LLMChat } from \"effect-chat\"": "export { LLMChat } from './index.js'",
    "LLMChat.layer of \"effect-chat/LLMChat\"":
      "import * as LLMChat from './LLMChat.js'; export const layer = LLMChat.layer({ baseUrl: 'http://localhost/v1' })",
    "import * from \"effect-chat\"": "export * from './index.js'"
  }
  say("\nOwn code in a bundle (bytes)")
  say(`${"".padEnd(38)}${"minified".padStart(10)}${"gzipped".padStart(10)}   with eventsource-parser`)
  /** @type {Array<unknown>} */
  const kept = []
  for (const [name, code] of Object.entries(sizes)) {
    const size = await bundleSize(code)
    const cells = [size.own.minified, size.own.gzipped, size.all.minified, size.all.gzipped]
    say(`${name.padEnd(38)}${cells.map((bytes) => String(bytes).padStart(10)).join("")}`)
    kept.push({ name, ...size })
  }
  results["Own code in a bundle"] = kept
}

if (chosen.length === 0) writeFileSync(here("results.json"), `${JSON.stringify(results, null, 2)}\n`)
server.disconnect()
