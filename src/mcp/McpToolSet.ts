/**
 * The tools of MCP servers, for the turns of a conversation. Needs `@modelcontextprotocol/sdk` 1.
 *
 * **Details**
 *
 * Every call needs an approval, unless the program says otherwise: what a server says of its tools is not trusted. Tools
 * that a server adds or removes are offered from the next step on. A server that is slow or gone costs its own calls, and
 * no turn: its failures are results that the model reads.
 *
 * **Gotchas**
 *
 * Start servers without a wrapper such as `npx`: closing a connection over stdio ends its direct child only.
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
import { legalName, visible } from "../internal/mcp/names.ts"
import { withProgress } from "../internal/mcp/progress.ts"
import { textOf, toParts } from "../internal/mcp/results.ts"
import { Server } from "../internal/mcp/server.ts"
import * as Tool from "../Tool.ts"
import * as ToolSet from "../ToolSet.ts"

/**
 * What a server says of the progress of a running call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress extends Tool.Context {
  /** The tool's name in the turn, with the prefix. */
  readonly name: string
  /** Grows with each message, also if `total` is not known. */
  readonly progress: number
  readonly total?: number | undefined
  /** What the server does now, for people. */
  readonly message?: string | undefined
}

/**
 * How the tools of a server are used.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Stands before the name of each tool, with `_` between: for several servers whose tools have the same names. */
  readonly prefix?: string | undefined
  /** Which tools are offered, by the server's names for them. Default all. */
  readonly include?: ReadonlyArray<string> | ((tool: McpTool) => boolean) | undefined
  /**
   * Which calls need an approval: all or none, or those for which a function says so. Default all, but those of tools that
   * a trusted server marks as read-only. A tool that the server changed after its first listing needs one in any case but
   * `false`.
   */
  readonly needsApproval?:
    | boolean
    | ((tool: McpTool, input: Readonly<Record<string, unknown>>) => boolean | Effect.Effect<boolean>)
    | undefined
  /** Whether the program believes the server's mark of read-only tools. Default false. */
  readonly isTrusted?: boolean | undefined
  /** Makes a transport for a new connection after the old one was lost. Without it the tools fail from then on. */
  readonly reconnect?: Effect.Effect<Transport, unknown> | undefined
  /**
   * Receives the progress of calls, one message after the other. The result of a call waits until its last message was
   * received. Servers send progress for long calls, or not at all. A message that arrives together with the result is lost
   * in the SDK ({@link https://github.com/modelcontextprotocol/typescript-sdk/issues/2580 | typescript-sdk#2580}).
   */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
  /** How long a call may take without progress. Default 1 minute. */
  readonly timeout?: Duration.DurationInput | undefined
  /** How long a call may take in all. Default 10 minutes. */
  readonly maxTotalTimeout?: Duration.DurationInput | undefined
  /** How long connecting again, and listing all tools, may take each. Default 10 seconds. */
  readonly listTimeout?: Duration.DurationInput | undefined
  /** The most characters of a result. Default 50 000. */
  readonly maxResultLength?: number | undefined
}

/**
 * The tools of one server.
 *
 * @since 0.1.0
 * @category models
 */
export interface McpToolSet extends ToolSet.ToolSet {
  /** Why the tools could not be listed when they were listed last, undefined if they were. The next step tries again. */
  readonly failure: Effect.Effect<unknown>
}

/**
 * The tools of the server that a client is connected to. The scope closes the client.
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
    const known = new Map<string, string>()
    const tools = Effect.map(
      server.tools,
      (tools) => tools.filter(includes(options)).map((tool) => toTool(server, tool, isChanged(known, tool), options))
    )
    // Listed now: what they are when the program starts is what it approves of.
    yield* tools
    const set = yield* ToolSet.dynamic(tools, { name: options.prefix })
    return { ...set, failure: Effect.sync(() => server.failure) }
  })

const includes = ({ include }: Options) => (tool: McpTool): boolean => {
  if (include === undefined) return true
  return typeof include === "function" ? include(tool) : include.includes(tool.name)
}

/** Whether a tool is another one than the program knew by this name. */
const isChanged = (known: Map<string, string>, { description, inputSchema, name }: McpTool): boolean => {
  const fingerprint = JSON.stringify([description, inputSchema])
  const first = known.get(name)
  if (first === undefined) known.set(name, fingerprint)
  return first !== undefined && first !== fingerprint
}

const toTool = (server: Server, tool: McpTool, isChanged: boolean, options: Options) => {
  const invalid = validator(tool)
  const name = legalName(options.prefix, tool.name)
  const { onProgress } = options
  return Tool.fromJsonSchema({
    name,
    description: tool.description === undefined ? undefined : visible(tool.description),
    parameters: tool.inputSchema,
    maxResultLength: options.maxResultLength,
    needsApproval: (input) => needsApproval(tool, input, isChanged, options),
    failure: Schema.String,
    handler: (input, context) =>
      Effect.flatMap(
        withProgress(
          onProgress && (({ message, progress, total }) => onProgress({ ...context, name, progress, total, message })),
          (report) => server.call(tool.name, input, report)
        ),
        (result): Effect.Effect<Tool.Content, string> => {
          const parts = toParts(result)
          if (result["isError"] === true) return Effect.fail(textOf(parts))
          const problem = invalid(result["structuredContent"])
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

/** Says what is wrong with structured content. A schema that cannot be compiled accepts everything. */
const validator = ({ outputSchema }: McpTool): (value: unknown) => string | undefined => {
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
