// Runs in a process of its own and measures one peer: `node measure.mjs WHAT PEER ADDRESS N`, a line of JSON comes back.
//
//   at-once    CPU time per token of N streams that run at once, of 200 tokens each, one every 10 ms
//   memory     resident memory while one answer of N MiB is read, every 100 ms
//
// Others are measured in turns: each message from the parent is a number of requests, made one after another, and is
// answered with a figure.
//
//   burst      microseconds of CPU time per token, user and system, of answers of N tokens in large writes
//   paced      the same, a token a write
//   manager    the same, in a manager, a token a read, from this process
//   first      milliseconds to the first token of small answers, the median
//   ask        small requests a second that are no stream
import { performance } from "node:perf_hooks"
import process from "node:process"

const [what = "", name = "", address = "", count = "1"] = process.argv.slice(2)
const n = Number(count)

/** @param {string} path */
const peer = async (path) => {
  const { make } = await import(`./peers/${name}.mjs`)
  return /** @type {import("./peers/peer.d.ts").Make} */ (make)(`${address}/${path}/v1`)
}

/** @param {ReadonlyArray<number>} numbers */
const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN

/** Microseconds of CPU. @param {() => Promise<unknown>} run */
const cpu = async (run) => {
  const before = process.cpuUsage()
  await run()
  const { system, user } = process.cpuUsage(before)
  return user + system
}

let tokens = 0
const onText = () => {
  tokens++
}

/** @type {Record<string, () => Promise<unknown>>} */
const measures = {
  "at-once": async () => {
    // Conversations take turns, so each stream has a client of its own.
    const peers = await Promise.all(Array.from({ length: Math.max(n, 100) }, () => peer("slow/200/10")))
    const all = (/** @type {typeof peers} */ some) => Promise.all(some.map(({ stream }) => stream(onText)))
    await all(peers.slice(0, 100))
    tokens = 0
    const spent = await cpu(async () => {
      for (let time = 0; time < Math.max(1, 5 / n); time++) await all(peers.slice(0, n))
    })
    return { micros: spent / tokens, tokens }
  },
  memory: async () => {
    const { stream } = await peer(`bulk/${n}`)
    const mebibytes = () => Math.round(process.memoryUsage().rss / 1024 / 1024)
    const samples = [mebibytes()]
    const timer = setInterval(() => samples.push(mebibytes()), 100)
    const begun = performance.now()
    await stream(onText)
    clearInterval(timer)
    const half = samples.slice(samples.length >> 1)
    return {
      start: samples[0],
      quarter: samples[samples.length >> 2],
      peak: Math.max(...samples),
      growthInSecondHalf: Math.max(...half) - Math.max(...samples.slice(0, samples.length >> 1)),
      seconds: (performance.now() - begun) / 1000
    }
  }
}

const cpuOfToken = async (/** @type {number} */ answers) => {
  const { stream } = await asked
  tokens = 0
  const spent = await cpu(async () => {
    for (let time = 0; time < answers; time++) await stream(onText)
  })
  if (tokens !== n * answers) throw new Error(`${name} told ${tokens} tokens of ${n * answers}`)
  return spent / tokens
}

/** @type {Record<string, (requests: number) => Promise<number>>} */
const turns = {
  burst: cpuOfToken,
  paced: cpuOfToken,
  manager: cpuOfToken,
  first: async (requests) => {
    const { stream } = await asked
    const millis = []
    for (let time = 0; time < requests; time++) {
      const begun = performance.now()
      let first = NaN
      await stream(() => {
        if (Number.isNaN(first)) first = performance.now() - begun
      })
      millis.push(first)
    }
    return median(millis)
  },
  ask: async (requests) => {
    const { ask } = await asked
    const begun = performance.now()
    for (let time = 0; time < requests; time++) await ask()
    return requests / (performance.now() - begun) * 1000
  }
}

const turn = turns[what]
if (turn === undefined) {
  process.stdout.write(`${JSON.stringify(await measures[what]?.())}\n`)
  process.exit(0)
}
const asked = peer(turn === cpuOfToken ? `${what}/${n}` : "small")
process.on("message", (requests) => void turn(Number(requests)).then((figure) => process.send?.(figure)))
