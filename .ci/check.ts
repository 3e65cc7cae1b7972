/**
 * Runs every `check:*` script of package.json in its order, the next one also after a failure, and closes with one line
 * a script: what it was, how it went, how long it took. Arguments choose some of them, `npm run check -- lint types`, or
 * all but some, `npm run check -- --except test`.
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"

const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> }
const { positionals: named, values: { except } } = parseArgs({
  allowPositionals: true,
  options: { except: { type: "string", multiple: true, default: [] } }
})
const names = Object.keys(scripts).flatMap((script) => script.startsWith("check:") ? [script.slice(6)] : [])
const unknown = [...named, ...except].filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`No such check: ${unknown.join(", ")}. There are: ${names.join(", ")}.\n`)
  process.exit(1)
}

const summary: Array<string> = []
for (const name of (named.length > 0 ? named : names).filter((name) => !except.includes(name))) {
  process.stdout.write(`\n── ${name}: ${scripts[`check:${name}`]}\n`)
  const start = performance.now()
  const { status } = spawnSync("npm", ["run", "--silent", `check:${name}`], { stdio: "inherit" })
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  summary.push(`${status === 0 ? "passed" : "FAILED"}  check:${name.padEnd(12)} ${seconds.padStart(6)} s`)
  if (status !== 0) process.exitCode = 1
}
process.stdout.write(`\n${summary.join("\n")}\n`)
