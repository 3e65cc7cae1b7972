/**
 * Runs every `check:*` script of package.json in its order, the next one also after a failure, and closes with one line
 * a script: what it was, how it went, how long it took. Arguments choose some of them: `npm run check -- lint types`.
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"

const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> }
const chosen = process.argv.slice(2)
const names = Object.keys(scripts).flatMap((script) => script.startsWith("check:") ? [script.slice(6)] : [])
const unknown = chosen.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`No such check: ${unknown.join(", ")}. There are: ${names.join(", ")}.\n`)
  process.exit(1)
}

const summary: Array<string> = []
for (const name of chosen.length > 0 ? chosen : names) {
  process.stdout.write(`\n── ${name}: ${scripts[`check:${name}`]}\n`)
  const start = performance.now()
  const { status } = spawnSync("npm", ["run", "--silent", `check:${name}`], { stdio: "inherit" })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  summary.push(`${status === 0 ? "passed" : "FAILED"}  check:${name.padEnd(12)} ${seconds.padStart(6)} s`)
  if (status !== 0) process.exitCode = 1
}
process.stdout.write(`\n${summary.join("\n")}\n`)
