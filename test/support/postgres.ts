/**
 * Starts a PostgreSQL server for the tests, on loopback with a free port and a temporary folder.
 *
 * Its programs are in Debian's folder or in PATH. They refuse to run as root: then they run as `postgres`, the user that
 * Debian's package creates.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Data, Effect, Layer, Redacted, Schedule, Scope } from "effect"
import { spawn } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { createServer } from "node:net"

const debian = "/usr/lib/postgresql"

/** The folder with `initdb` and `pg_ctl` of the newest version. */
const programs = [
  ...(existsSync(debian) ? readdirSync(debian) : []).sort((a, b) => Number(b) - Number(a)).map((v) =>
    `${debian}/${v}/bin`
  ),
  ...(process.env["PATH"] ?? "").split(":")
].find((directory) => existsSync(`${directory}/initdb`) && existsSync(`${directory}/pg_ctl`))

/** The note in the titles of tests that need a server. Empty if the programs are available. */
export const unavailable = programs === undefined ? " (skipped: no PostgreSQL is installed)" : ""

export interface Service {
  /** A new database, and its address. */
  readonly createDatabase: Effect.Effect<Redacted.Redacted>
}

export class Postgres extends Context.Tag("effect-chat/test/support/postgres")<Postgres, Service>() {}

const isRoot = process.getuid?.() === 0

/** Quotes a word for a shell. */
const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`

/** A shell of a user who may run the server. Its standard input stays open. */
const shell = (script: string) => {
  const [command, ...words] = isRoot ? ["su", "postgres", "-s", "/bin/sh", "-c", script] : ["/bin/sh", "-c", script]
  return spawn(command ?? "", words, { cwd: "/", stdio: ["pipe", "pipe", "pipe"] })
}

/** The server did not start. Has the output of its programs. */
class NotStarted extends Data.TaggedError("NotStarted")<{ readonly message: string }> {}

const freePort = Effect.async<number>((resume) => {
  const server = createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    server.close(() => resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0)))
  })
})

/**
 * Starts a server in a new folder. It stops when the input of its shell ends, also if the tests are killed, and then its
 * folder is removed.
 */
const start = (port: number) =>
  Effect.async<ReturnType<typeof shell>, NotStarted>((resume) => {
    const program = (name: string) => quote(`${programs}/${name}`)
    const options = `-p ${port} -h 127.0.0.1 -k $directory -c fsync=off -c max_connections=200`
    const child = shell(`
      directory=$(mktemp -d) || exit
      trap 'rm -rf "$directory"' EXIT
      ${program("initdb")} -D "$directory/data" -A trust -U test -E UTF8 -N &&
      ${program("pg_ctl")} -w -D "$directory/data" -l "$directory/log" -o "${options}" start &&
      echo running && cat >/dev/null
      ${program("pg_ctl")} -D "$directory/data" -m fast stop >/dev/null 2>&1`)
    let output = ""
    child.stdout.on("data", (chunk) => {
      output += String(chunk)
      if (output.endsWith("running\n")) resume(Effect.succeed(child))
    })
    child.stderr.on("data", (chunk) => output += String(chunk))
    child.on("exit", () => resume(Effect.fail(new NotStarted({ message: output }))))
  })

const stop = (child: ReturnType<typeof shell>) =>
  Effect.async<void>((resume) => {
    child.on("exit", () => resume(Effect.void))
    if (child.exitCode !== null) resume(Effect.void)
    child.stdin.end()
  })

/** A running server. */
export const layer: Layer.Layer<Postgres> = Layer.scoped(
  Postgres,
  Effect.gen(function*() {
    // Another program may use the port by now: then the layer tries again.
    const port = yield* freePort
    yield* Effect.acquireRelease(start(port), stop)
    const address = (database: string) => Redacted.make(`postgres://test@127.0.0.1:${port}/${database}`)
    let databases = 0
    return {
      createDatabase: Effect.gen(function*() {
        const name = `test_${++databases}`
        const sql = yield* PgClient.PgClient
        yield* sql`CREATE DATABASE ${sql(name)}`
        return address(name)
      }).pipe(Effect.provide(PgClient.layer({ url: address("postgres"), maxConnections: 1 })), Effect.orDie)
    }
  })
).pipe(Layer.retry(Schedule.recurs(2)), Layer.orDie)

const memoMap = Effect.runSync(Layer.makeMemoMap)
const workerScope = Effect.runSync(Scope.make())

/** One server for all files that a worker of vitest runs: it ends with the worker. To start one takes a second. */
export const layerShared: Layer.Layer<Postgres> = Layer.effectContext(
  Effect.suspend(() => Layer.buildWithMemoMap(layer, memoMap, workerScope))
)
