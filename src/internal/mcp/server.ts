/**
 * Lists and calls the tools of one MCP server, and reconnects after the connection was lost.
 */
import type { Client } from "@modelcontextprotocol/sdk/client/index.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import {
  type Progress,
  ResultSchema,
  type Tool as McpTool,
  ToolListChangedNotificationSchema
} from "@modelcontextprotocol/sdk/types.js"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { asText, fieldsOf, itemsOf, type JsonRecord } from "../json.ts"
import { describe, describeNotConnected, hasNoTools, isConnectionLost, NotConnected, TooSlow } from "./errors.ts"
import { readTool } from "./listing.ts"

export interface Options {
  readonly reconnect?: Effect.Effect<Transport, unknown> | undefined
  readonly timeout: Duration.Duration
  readonly maxTotalTimeout: Duration.Duration
  readonly listTimeout: Duration.Duration
}

/** Ends the listing of a server that sends a new cursor with every page. */
const maxPages = 100

/** A connection to a server, and the tools that it listed last. Mutable. */
export class Server {
  readonly #client: Client
  readonly #options: Options
  readonly #connecting = Effect.unsafeMakeSemaphore(1)
  #tools: ReadonlyArray<McpTool> = []
  #isListed = false
  #isLost = false
  /** The error of the last listing, undefined if it succeeded. */
  failure: unknown

  constructor(client: Client, options: Options) {
    this.#client = client
    this.#options = options
    // The handler of the SDK reads the first page only, and only if the server announces changes in its capabilities.
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
      this.#isListed = false
    })
  }

  /** The tools. Lists them again after a change. If that fails, returns the previous tools, and the next use tries again. */
  get tools(): Effect.Effect<ReadonlyArray<McpTool>> {
    return Effect.suspend(() => this.#isListed ? Effect.succeed(this.#tools) : this.#list)
  }

  get #list(): Effect.Effect<ReadonlyArray<McpTool>> {
    return Effect.suspend(() => {
      this.#isListed = true
      return Effect.zipRight(this.#connect, this.#pages)
    }).pipe(
      Effect.timeoutFail({
        duration: this.#options.listTimeout,
        onTimeout: () => new TooSlow({ message: "The server did not list its tools in time" })
      }),
      Effect.tapBoth({
        onFailure: (error) =>
          Effect.suspend(() => {
            this.#isListed = false
            this.failure = error
            if (isConnectionLost(error)) this.#isLost = true
            return Effect.logWarning("The tools of an MCP server could not be listed", error)
          }),
        onSuccess: (tools) =>
          Effect.sync(() => {
            this.#tools = tools
            this.failure = undefined
          })
      }),
      Effect.orElseSucceed(() => this.#tools)
    )
  }

  get #pages(): Effect.Effect<ReadonlyArray<McpTool>, unknown> {
    return Effect.gen(this, function*() {
      const tools: Array<McpTool> = []
      const seen = new Set<string>()
      for (let page = 0, cursor: string | undefined; page < maxPages; page++) {
        const response = yield* this.#page(cursor)
        for (const entry of itemsOf(response["tools"])) {
          const tool = readTool(entry)
          if (tool === undefined) yield* logSkipped(fieldsOf(entry)["name"], "it violates the protocol")
          else if (tool.execution?.taskSupport === "required") yield* logSkipped(tool.name, "it can only run as a task")
          else tools.push(tool)
        }
        cursor = asText(response["nextCursor"])
        if (cursor === undefined || seen.has(cursor)) break
        seen.add(cursor)
      }
      return tools
    })
  }

  /** Does not use `listTools` of the SDK, which refuses a complete page for one tool with an unusual schema. */
  #page(cursor: string | undefined): Effect.Effect<JsonRecord, unknown> {
    const params = cursor === undefined ? {} : { cursor }
    return abortable((signal) =>
      this.#client.request({ method: "tools/list", params }, ResultSchema, {
        signal,
        timeout: toTimeout(this.#options.listTimeout)
      })
    ).pipe(Effect.catchIf(hasNoTools, () => Effect.succeed({})))
  }

  /** Calls a tool. Fails with a description for the model. A failed call is not retried. */
  call(
    name: string,
    input: Readonly<Record<string, unknown>>,
    onProgress: (progress: Progress) => void
  ): Effect.Effect<JsonRecord, string> {
    const request = abortable((signal) =>
      this.#client.request({ method: "tools/call", params: { name, arguments: { ...input } } }, ResultSchema, {
        signal,
        timeout: toTimeout(this.#options.timeout),
        // The SDK resets the timeout only if `onprogress` is present.
        resetTimeoutOnProgress: true,
        onprogress: onProgress
      })
    ).pipe(
      // The SDK checks its own `maxTotalTimeout` only when progress arrives, and does not cancel the call.
      Effect.timeoutFail({
        duration: this.#options.maxTotalTimeout,
        onTimeout: () => new TooSlow({ message: "The call took too long" })
      })
    )
    const called = Effect.catchAll(request, (error) => {
      if (!isConnectionLost(error)) return Effect.fail(describe(error))
      this.#isLost = true
      return Effect.flatMap(
        Effect.isSuccess(this.#connect),
        (isConnected) => Effect.fail(isConnected ? `${describe(error)} The connection was renewed.` : describe(error))
      )
    })
    return Effect.zipRight(Effect.mapError(this.#connect, describeNotConnected), called)
  }

  /** Reconnects if the connection was lost. Concurrent calls reconnect only once. */
  get #connect(): Effect.Effect<void, unknown> {
    return Effect.suspend(() => {
      if (!this.#isLost && this.#client.transport !== undefined) return Effect.void
      const { reconnect } = this.#options
      if (reconnect === undefined) return Effect.fail(new NotConnected())
      return this.#connecting.withPermits(1)(Effect.suspend(() => {
        if (!this.#isLost && this.#client.transport !== undefined) return Effect.void
        return this.close.pipe(
          Effect.zipRight(reconnect),
          Effect.flatMap((transport) =>
            Effect.tryPromise({ try: () => this.#client.connect(transport), catch: (e) => e })
          ),
          Effect.andThen(() => {
            this.#isLost = false
            this.#isListed = false
          }),
          Effect.timeoutFail({
            duration: this.#options.listTimeout,
            onTimeout: () => new TooSlow({ message: "The server did not accept a new connection in time" })
          })
        )
      }))
    })
  }

  /** Ends the session on the server, if there is one, and closes the connection. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const end = fieldsOf(this.#client.transport)["terminateSession"]
    const session = this.#isLost || typeof end !== "function"
      ? Effect.void
      : Effect.tryPromise(() => Promise.resolve(Reflect.apply(end, this.#client.transport, [])))
    return Effect.zipRight(
      Effect.ignore(Effect.timeout(session, "2 seconds")),
      Effect.ignore(Effect.tryPromise(() => this.#client.close()))
    )
  })
}

const logSkipped = (name: unknown, reason: string) =>
  Effect.logWarning(`The tool ${JSON.stringify(name)} of an MCP server is left out: ${reason}`)

/** Longer timers of JavaScript fire immediately. */
const maxTimeoutMillis = 2 ** 31 - 1

const toTimeout = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), maxTimeoutMillis)

/**
 * Runs a request that an interruption aborts, without waiting for the abort. Each request has its own signal, because the SDK
 * never removes its listener from a signal.
 */
const abortable = <A>(request: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.async((resume) => {
    const controller = new AbortController()
    request(controller.signal).then(
      (value) => resume(Effect.succeed(value)),
      (error) => resume(Effect.fail(error))
    )
    return Effect.sync(() => controller.abort("The call was stopped"))
  })
