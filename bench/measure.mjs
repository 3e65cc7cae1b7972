// Runs in a process of its own and measures one peer: `node measure.mjs WHAT PEER ADDRESS [N] [TIMES]`, a line of JSON
// comes back.
//
//   cpu        CPU a token, user and system, of TIMES answers of N tokens after warm-up
//   at-once    CPU a token of N streams that run at once, of 200 tokens each, one every 10 ms
//   first      milliseconds to the first token of N small requests, one after another
//   ask        requests a second that are no stream, N of them after TIMES others, one after another: the median of fifties
//   memory     resident memory while one long answer is read, every 100 ms
import { performance } from "node:perf_hooks"
import process from "node:process"

const [what = "", name = "", address = "", count = "1", times = "1"] = process.argv.slice(2)
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
  cpu: async () => {
    const { stream } = await peer(process.env["MODE"] === "paced" ? `paced/${n}` : `burst/${n}`)
    for (let warm = 0; warm < 200_000; warm += n) await stream(onText)
    tokens = 0
    const spent = []
    for (let time = 0; time < Number(times); time++) spent.push(await cpu(() => stream(onText)) / n)
    if (tokens !== n * Number(times)) throw new Error(`${name} told ${tokens} tokens of ${n * Number(times)}`)
    return { micros: median(spent) }
  },
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
  first: async () => {
    const { stream } = await peer("small")
    const once = async () => {
      const begun = performance.now()
      let first = NaN
      await stream(() => {
        if (Number.isNaN(first)) first = performance.now() - begun
      })
      return first
    }
    for (let warm = 0; warm < 200; warm++) await once()
    const millis = []
    for (let time = 0; time < n; time++) millis.push(await once())
    return { millis: median(millis) }
  },
  ask: async () => {
    const { ask } = await peer("small")
    const fifty = async () => {
      const begun = performance.now()
      for (let time = 0; time < 50; time++) await ask()
      return 50 / (performance.now() - begun) * 1000
    }
    for (let warm = 0; warm < Number(times); warm += 50) await fifty()
    const rates = []
    for (let time = 0; time < n; time += 50) rates.push(await fifty())
    return { perSecond: median(rates) }
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

const result = await measures[what]?.()
process.stdout.write(`${JSON.stringify(result)}\n`)
process.exit(0)
