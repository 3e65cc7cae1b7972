/**
 * One MCP server: its list of tools, its calls, and a new connection after the old one was lost.
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
import { hasNoTools, isLost, NotConnected, sentence, TooSlow } from "./errors.ts"
import { readTool } from "./listing.ts"

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
        const read = yield* this.#page(cursor)
        for (const listed of itemsOf(read["tools"])) {
          const tool = readTool(listed)
          if (tool === undefined) yield* leaveOut(fieldsOf(listed)["name"], "it breaks the protocol")
          else if (tool.execution?.taskSupport === "required") yield* leaveOut(tool.name, "it can only run as a task")
          else tools.push(tool)
        }
        cursor = asText(read["nextCursor"])
        if (cursor === undefined || seen.has(cursor)) break
        seen.add(cursor)
      }
      return tools
    })
  }

  /** The SDK's `listTools` refuses a whole page for one tool whose schemas it cannot compile or does not expect. */
  #page(cursor: string | undefined): Effect.Effect<JsonRecord, unknown> {
    const params = cursor === undefined ? {} : { cursor }
    return untilStopped((signal) =>
      this.#client.request({ method: "tools/list", params }, ResultSchema, {
        signal,
        timeout: toTimeout(this.#options.listTimeout)
      })
    ).pipe(Effect.catchIf(hasNoTools, () => Effect.succeed({})))
  }

  /** Calls a tool. It fails with a sentence for the model. A call that failed is not made again. */
  call(
    name: string,
    input: Readonly<Record<string, unknown>>,
    onProgress: (progress: Progress) => void
  ): Effect.Effect<JsonRecord, string> {
    const request = untilStopped((signal) =>
      this.#client.request({ method: "tools/call", params: { name, arguments: { ...input } } }, ResultSchema, {
        signal,
        timeout: toTimeout(this.#options.timeout),
        // The SDK resets the time only if it has an `onprogress`.
        resetTimeoutOnProgress: true,
        onprogress: onProgress
      })
    ).pipe(
      // The SDK looks at its own `maxTotalTimeout` with the next progress only, and does not cancel the call then.
      Effect.timeoutFail({
        duration: this.#options.maxTotalTimeout,
        onTimeout: () => new TooSlow({ message: "The call took too long" })
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

const leaveOut = (name: unknown, why: string) =>
  Effect.logWarning(`The tool ${JSON.stringify(name)} of an MCP server is left out: ${why}`)

/** A timer of JavaScript that is longer fires at once. */
const longestTimeout = 2 ** 31 - 1

const toTimeout = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), longestTimeout)

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
