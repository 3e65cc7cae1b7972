/**
 * Runs the terminal chat as a process, as its users do, without environment variables that configure other servers.
 */
import { Data, Effect, type Scope } from "effect"
import { spawn } from "node:child_process"

/** The output and exit code of a program. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A running program. */
export interface Running {
  /** Writes to its standard input. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Waits until the program has printed this text, after the text of the last wait. Returns all output so far. */
  readonly printed: (text: string) => Effect.Effect<string, Silence>
  /** Ends the input and waits for the program. */
  readonly end: Effect.Effect<Ended>
}

/** The program ended, or printed nothing more, before it printed the expected text. */
export class Silence extends Data.TaggedError("Silence")<{ readonly message: string }> {}

type Env = Readonly<Record<string, string>>

/** The environment without variables for a server or its key. */
export const scrubbed = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(LLM|OPENAI)_/.test(name)))

const chat = ["node", "--import", "tsx", "examples/chat.ts"]

/** Starts a command, which ends with the scope. */
const start = ([command = "", ...args]: ReadonlyArray<string>, env: Env): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn(command, args, { env: { ...scrubbed, ...env } })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    ),
    (child) => {
      let stdout = ""
      let stderr = ""
      let seen = 0
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text
      })
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr += text
      })
      child.stdin.on("error", () => {})
      const closed = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })))
      return {
        write: (text) => Effect.sync(() => void child.stdin.write(text)),
        printed: (text) => {
          const silence = () => new Silence({ message: `no ${JSON.stringify(text)} in ${stdout}${stderr}` })
          return Effect.async<string, Silence>((resume) => {
            const leave = () => void child.stdout.off("data", look).off("end", fail)
            const fail = () => resume(Effect.fail(silence()))
            const look = () => {
              const at = stdout.indexOf(text, seen)
              if (at < 0) return
              seen = at + text.length
              leave()
              resume(Effect.succeed(stdout))
            }
            child.stdout.on("data", look).on("end", fail)
            look()
            return Effect.sync(leave)
          }).pipe(Effect.timeoutFail({ duration: "10 seconds", onTimeout: silence }))
        },
        end: Effect.zipRight(Effect.sync(() => child.stdin.end()), Effect.promise(() => closed))
      }
    }
  )

/** Runs the chat with these arguments, and pipes the input to it. */
export const run = (
  args: ReadonlyArray<string>,
  options: { readonly input?: string; readonly env?: Env } = {}
): Effect.Effect<Ended> =>
  Effect.scoped(Effect.gen(function*() {
    const program = yield* start([...chat, ...args], options.env ?? {})
    yield* program.write(options.input ?? "")
    return yield* program.end
  }))

/** Starts the chat in a terminal, which `script` of util-linux provides. */
export const open = (env: Env = {}): Effect.Effect<Running, never, Scope.Scope> =>
  start(["script", "--quiet", "--flush", "--return", "--command", chat.join(" "), "/dev/null"], {
    TERM: "xterm",
    ...env
  })
