/**
 * One MCP server: its list of tools, its calls, and a new connection after the old one was lost.
 */
import type { Client } from "@modelcontextprotocol/sdk/client/index.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import {
  type CallToolResult,
  CallToolResultSchema,
  type Tool as McpTool,
  ToolListChangedNotificationSchema
} from "@modelcontextprotocol/sdk/types.js"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { fieldsOf } from "../json.ts"
import { isLost, NotConnected, sentence, TooSlow } from "./errors.ts"

/** How a server is used. */
export interface Options {
  readonly reconnect?: Effect.Effect<Transport, unknown> | undefined
  readonly timeout: Duration.Duration
  readonly maxTotalTimeout: Duration.Duration
  readonly listTimeout: Duration.Duration
}

/** More pages than any server needs: one that never ends does not list for ever. */
const mostPages = 100

/** A server and what is known of it. Mutable. */
export class Server {
  readonly #client: Client
  readonly #options: Options
  readonly #connecting = Effect.unsafeMakeSemaphore(1)
  #tools: ReadonlyArray<McpTool> = []
  #isListed = false
  #isLost = false
  /** Why the tools could not be listed, undefined if they were. */
  failure: unknown

  constructor(client: Client, options: Options) {
    this.#client = client
    this.#options = options
    // The SDK's own handler reads the first page only, and only if the server announced changes.
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
      this.#isListed = false
    })
  }

  /** The tools, listed again after a change. If that fails the tools of before stay, and the next use tries again. */
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
            if (isLost(error)) this.#isLost = true
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
      for (let page = 0, cursor: string | undefined; page < mostPages; page++) {
        const params = cursor === undefined ? {} : { cursor }
        const read = yield* untilStopped((signal) =>
          this.#client.listTools(params, { signal, timeout: Duration.toMillis(this.#options.listTimeout) })
        )
        tools.push(...read.tools)
        cursor = read.nextCursor
        if (cursor === undefined || seen.has(cursor)) break
        seen.add(cursor)
      }
      return tools
    })
  }

  /** Calls a tool. It fails with a sentence for the model. A call that failed is not made again. */
  call(name: string, input: Readonly<Record<string, unknown>>): Effect.Effect<CallToolResult, string> {
    const { maxTotalTimeout, timeout } = this.#options
    const request = untilStopped((signal) =>
      this.#client.request({ method: "tools/call", params: { name, arguments: { ...input } } }, CallToolResultSchema, {
        signal,
        timeout: Duration.toMillis(timeout),
        maxTotalTimeout: Duration.toMillis(maxTotalTimeout),
        // A timeout is only reset by progress that somebody listens to.
        resetTimeoutOnProgress: true,
        onprogress: () => {}
      })
    )
    return Effect.catchAll(Effect.zipRight(this.#connect, request), (error) => {
      if (!isLost(error)) return Effect.fail(sentence(error))
      this.#isLost = true
      return Effect.flatMap(
        Effect.isSuccess(this.#connect),
        (isRenewed) => Effect.fail(isRenewed ? `${sentence(error)} The connection was renewed.` : sentence(error))
      )
    })
  }

  /** Connects again if the connection was lost. Of several calls that find it lost, one connects. */
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

  /** Ends the session on the server, if it has one, and the connection. */
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

/** Every call has a signal of its own: the SDK keeps its listener on one for ever. Nobody waits for a cancelled call. */
const untilStopped = <A>(request: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.async((resume) => {
    const controller = new AbortController()
    request(controller.signal).then(
      (value) => resume(Effect.succeed(value)),
      (error) => resume(Effect.fail(error))
    )
    return Effect.sync(() => controller.abort("The call was stopped"))
  })
