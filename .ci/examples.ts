/**
 * Runs every program in examples/ against the embedded server. A program fails when it exits with a code other than 0,
 * prints nothing, or is still running after a minute. Arguments choose some: `npm run check:examples -- chat`.
 */
import { spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"

/** What a program reads from standard input. The others get none. */
const input: Record<string, string> = {
  bot: "ada: My name is Ada.\nbob: My name is Bob.\nada: What is my name?\nbob: /forget\nada: /stop\n",
  chat: "My name is Ada.\nWhat is my name?\n"
}

const chosen = process.argv.slice(2)
const programs = readdirSync("examples").flatMap((file) => file.endsWith(".ts") ? [file.slice(0, -3)] : [])
  .filter((name) => chosen.length === 0 || chosen.includes(name))
if (programs.length === 0) {
  process.stderr.write("There is no example to run.\n")
  process.exitCode = 1
}

const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(LLM|OPENAI)_/.test(name)))
for (const name of programs) {
  const start = performance.now()
  const { error, signal, status, stderr, stdout } = spawnSync(
    process.execPath,
    ["--import", "tsx", `examples/${name}.ts`],
    { encoding: "utf8", env, input: input[name] ?? "", killSignal: "SIGKILL", timeout: 60_000 }
  )
  const passed = status === 0 && stdout.trim() !== ""
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  process.stdout.write(`${passed ? "passed" : "FAILED"}  examples/${name}.ts ${seconds} s\n`)
  if (!passed) {
    const why = error?.message ?? (status === 0 ? "printed nothing" : `exit code ${status ?? signal}`)
    process.stdout.write(`${why}\n${stdout}${stderr}\n`)
    process.exitCode = 1
  }
}
