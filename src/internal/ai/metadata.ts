/**
 * Metadata of parts and options of messages under the key `effect-chat`. They contain echoes: data of an answer, such as
 * encrypted reasoning, that its server requires in later requests.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type ChatResponse, Opaque, type ToolCall } from "../../ChatResponse.ts"
import { defined, type JsonRecord } from "../json.ts"

/** The key in the metadata of parts and in the options of messages. */
export const metadataKey = "effect-chat"

/** The data of an answer that its server requires in later requests. */
export interface Echo {
  readonly opaque?: Opaque | undefined
  /** The additional members of tool calls, by call id. */
  readonly toolCalls?: Readonly<Record<string, JsonRecord>> | undefined
}

const Echo: Schema.Schema<Echo> = Schema.Struct({
  opaque: Schema.optional(Opaque),
  toolCalls: Schema.optional(
    Schema.Record({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
  )
})

const decode = Schema.decodeUnknownOption(Echo)

/** The echo of an answer, undefined if there is none. */
export const echoOf = (
  { opaque }: ChatResponse,
  calls: ReadonlyArray<Pick<ToolCall, "id" | "extra">>
): Echo | undefined => {
  const extras = calls.flatMap(({ extra, id }) => extra === undefined ? [] : [[id, extra] as const])
  if (opaque === undefined && extras.length === 0) return undefined
  return defined<Echo>({ opaque, toolCalls: extras.length === 0 ? undefined : Object.fromEntries(extras) })
}

/** The echo in the options of a message or part, undefined if there is none. */
export const echoIn = (options: Readonly<Record<string, JsonRecord | undefined>>): Echo | undefined => {
  const json = options[metadataKey]
  if (json === undefined || !("opaque" in json || "toolCalls" in json)) return undefined
  return Option.getOrUndefined(decode(json))
}

/**
 * Remembers the last echoes in memory, because `Prompt.fromResponseParts` drops metadata and `Chat` of `@effect/ai` uses it.
 */
export class EchoMemory {
  readonly #echoes = new Map<string, Echo>()
  readonly #capacity: number

  constructor(capacity = 1000) {
    this.#capacity = capacity
  }

  remember(answer: AnswerKey, echo: Echo): void {
    const key = keyOf(answer)
    this.#echoes.delete(key)
    this.#echoes.set(key, echo)
    for (const oldest of this.#echoes.keys()) {
      if (this.#echoes.size <= this.#capacity) break
      this.#echoes.delete(oldest)
    }
  }

  recall(answer: AnswerKey): Echo | undefined {
    const key = keyOf(answer)
    const echo = this.#echoes.get(key)
    if (echo !== undefined) this.remember(answer, echo)
    return echo
  }
}

/** What identifies an answer in a prompt. */
export interface AnswerKey {
  readonly text: string
  readonly reasoning: string
  readonly callIds: ReadonlyArray<string>
}

const keyOf = ({ callIds, reasoning, text }: AnswerKey): string => JSON.stringify([callIds, text, reasoning])
