/**
 * Makes tool sets from the tools of MCP servers. Requires `@modelcontextprotocol/sdk` 1.
 *
 * **Details**
 *
 * By default every call needs an approval, because the annotations of a server are not trusted. Changes of the tools of a
 * server apply from the next step of a turn. If a server fails or is too slow, the turn continues: the model receives the
 * failure as the result of the call.
 *
 * **Gotchas**
 *
 * Start servers without a wrapper such as `npx`: closing a connection over stdio ends only its child process.
 *
 * @since 0.1.0
 */
import type { Client } from "@modelcontextprotocol/sdk/client/index.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import type { Tool as McpTool } from "@modelcontextprotocol/sdk/types.js"
import { AjvJsonSchemaValidator } from "@modelcontextprotocol/sdk/validation/ajv"
import type { JsonSchemaType } from "@modelcontextprotocol/sdk/validation/types.js"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { toDescription, toToolName } from "../internal/mcp/names.ts"
import { withProgress } from "../internal/mcp/progress.ts"
import { textOf, toParts } from "../internal/mcp/results.ts"
import { Server } from "../internal/mcp/server.ts"
import * as Tool from "../Tool.ts"
import * as ToolSet from "../ToolSet.ts"

/**
 * A progress message of a running call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress extends Tool.Context {
  /** The name of the tool in the turn, with the prefix. */
  readonly name: string
  /** Increases with each message, even if `total` is unknown. */
  readonly progress: number
  readonly total?: number | undefined
  /** A text for people. */
  readonly message?: string | undefined
}

/**
 * The options of {@link fromClient}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Added before the name of each tool, followed by `_`. It distinguishes tools of several servers with the same name. */
  readonly prefix?: string | undefined
  /** Which tools are offered, by their names on the server. Default all. */
  readonly include?: ReadonlyArray<string> | ((tool: McpTool) => boolean) | undefined
  /**
   * Which calls need an approval: all, none, or those for which the function returns true. Default: all, except calls of
   * tools that a trusted server marks as read-only. If a tool has changed since it was first listed, all its calls need an
   * approval, unless this is `false`.
   */
  readonly needsApproval?:
    | boolean
    | ((tool: McpTool, input: Readonly<Record<string, unknown>>) => boolean | Effect.Effect<boolean>)
    | undefined
  /** Whether the program trusts the read-only annotations of the server. Default false. */
  readonly isTrusted?: boolean | undefined
  /** Makes a new transport after the connection was lost. If absent, all later calls fail. */
  readonly reconnect?: Effect.Effect<Transport, unknown> | undefined
  /**
   * Receives the progress messages of a call, one after another. The call completes after this has processed the last one.
   * Many servers send no progress. The SDK loses a message that arrives together with the result
   * ({@link https://github.com/modelcontextprotocol/typescript-sdk/issues/2580 | typescript-sdk#2580}).
   */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  /** How long a call may take without progress. Default 1 minute. */
  readonly timeout?: Duration.DurationInput | undefined
  /** How long a call may take in total. Default 10 minutes. */
  readonly maxTotalTimeout?: Duration.DurationInput | undefined
  /** How long a reconnection may take, and how long the listing of all tools may take. Default 10 seconds. */
  readonly listTimeout?: Duration.DurationInput | undefined
  /** The maximum number of characters of a result. Default 50,000. */
  readonly maxResultLength?: number | undefined
}

/**
 * A tool set with the tools of one server.
 *
 * @since 0.1.0
 * @category models
 */
export interface McpToolSet extends ToolSet.ToolSet {
  /** The error of the last listing of the tools, undefined if it succeeded. After an error, the next step lists them again. */
  readonly failure: Effect.Effect<unknown>
}

/**
 * Makes a tool set for a connected client. The client is closed when the scope closes.
 *
 * @example
 * import { Client } from "@modelcontextprotocol/sdk/client/index.js"
 * import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
 * import { Effect } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { McpToolSet } from "effect-chat/mcp"
 *
 * export const program = Effect.gen(function*() {
 *   const client = new Client({ name: "my-bot", version: "1.0.0" })
 *   const transport = new StdioClientTransport({ command: "node", args: ["server.js"] })
 *   yield* Effect.promise(() => client.connect(transport))
 *   const toolSet = yield* McpToolSet.fromClient(client, { prefix: "files", isTrusted: true })
 *   const chat = yield* LLMChat.LLMChat
 *   return yield* chat.chat("What is in the folder?", { toolSet })
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromClient = (client: Client, options: Options = {}): Effect.Effect<McpToolSet, never, Scope.Scope> =>
  Effect.gen(function*() {
    const server = new Server(client, {
      reconnect: options.reconnect,
      timeout: Duration.decode(options.timeout ?? "1 minute"),
      maxTotalTimeout: Duration.decode(options.maxTotalTimeout ?? "10 minutes"),
      listTimeout: Duration.decode(options.listTimeout ?? "10 seconds")
    })
    yield* Effect.addFinalizer(() => server.close)
    const fingerprints = new Map<string, string>()
    const tools = Effect.map(
      server.tools,
      (tools) =>
        tools.filter(includes(options)).map((tool) => toTool(server, tool, isChanged(fingerprints, tool), options))
    )
    // Lists the tools now, so that a later change of a tool is detected.
    yield* tools
    const set = yield* ToolSet.dynamic(tools, { name: options.prefix })
    return { ...set, failure: Effect.sync(() => server.failure) }
  })

const includes = ({ include }: Options) => (tool: McpTool): boolean => {
  if (include === undefined) return true
  return typeof include === "function" ? include(tool) : include.includes(tool.name)
}

/** Whether a tool differs from the first one that was listed with this name. */
const isChanged = (fingerprints: Map<string, string>, { description, inputSchema, name }: McpTool): boolean => {
  const fingerprint = JSON.stringify([description, inputSchema])
  const first = fingerprints.get(name)
  if (first === undefined) fingerprints.set(name, fingerprint)
  return first !== undefined && first !== fingerprint
}

const toTool = (server: Server, tool: McpTool, isChanged: boolean, options: Options) => {
  const validate = makeValidator(tool)
  const name = toToolName(options.prefix, tool.name)
  const { onProgress } = options
  return Tool.fromJsonSchema({
    name,
    description: tool.description === undefined ? undefined : toDescription(tool.description),
    parameters: tool.inputSchema,
    maxResultLength: options.maxResultLength,
    needsApproval: (input) => needsApproval(tool, input, isChanged, options),
    failure: Schema.String,
    handler: (input, context) =>
      Effect.flatMap(
        withProgress(
          onProgress && (({ message, progress, total }) => onProgress({ ...context, name, progress, total, message })),
          (onProgress) => server.call(tool.name, input, onProgress)
        ),
        (result): Effect.Effect<Tool.Content, string> => {
          const parts = toParts(result)
          if (result["isError"] === true) return Effect.fail(textOf(parts))
          const problem = validate(result["structuredContent"])
          return problem === undefined
            ? Effect.succeed(Tool.content(parts))
            : Effect.fail(`The call was made. ${problem} It returned:\n${textOf(parts)}`)
        }
      )
  })
}

const needsApproval = (
  tool: McpTool,
  input: Readonly<Record<string, unknown>>,
  isChanged: boolean,
  { isTrusted = false, needsApproval }: Options
): boolean | Effect.Effect<boolean> => {
  if (needsApproval === false) return false
  if (isChanged || needsApproval === true) return true
  return needsApproval === undefined
    ? !(isTrusted && tool.annotations?.readOnlyHint === true)
    : needsApproval(tool, input)
}

/** Makes a function that returns the problem of structured content. A schema that cannot be compiled accepts everything. */
const makeValidator = ({ outputSchema }: McpTool): (value: unknown) => string | undefined => {
  if (outputSchema === undefined) return () => undefined
  const schema: JsonSchemaType = JSON.parse(JSON.stringify(outputSchema))
  const compiled = Either.try(() => new AjvJsonSchemaValidator().getValidator(schema))
  if (Either.isLeft(compiled)) return () => undefined
  const validate = compiled.right
  return (value) => {
    if (value === undefined) return "The tool has an output schema but returned no structured content."
    const result = validate(value)
    return result.valid ? undefined : `The result does not match the tool's output schema: ${result.errorMessage}`
  }
}
