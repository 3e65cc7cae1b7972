/**
 * What the metadata of `@effect/ai`'s parts has under this library's name, and what of it a server wants back.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type ChatResponse, Opaque, type ToolCall } from "../../ChatResponse.ts"
import { defined, type JsonRecord } from "../json.ts"

/** The name in the metadata of parts and the options of messages. */
export const key = "effect-chat"

/** What a server wants back with its answer. */
export interface Echo {
  readonly opaque?: Opaque | undefined
  /** Further members of calls, by the id of the call. */
  readonly toolCalls?: Readonly<Record<string, JsonRecord>> | undefined
}

const Echo: Schema.Schema<Echo> = Schema.Struct({
  opaque: Schema.optional(Opaque),
  toolCalls: Schema.optional(
    Schema.Record({ key: Schema.String, value: Schema.Record({ key: Schema.String, value: Schema.Unknown }) })
  )
})

const decode = Schema.decodeUnknownOption(Echo)

/** What a server wants back, undefined if that is nothing. */
export const echoOf = (
  { opaque }: ChatResponse,
  calls: ReadonlyArray<Pick<ToolCall, "id" | "extra">>
): Echo | undefined => {
  const extras = calls.flatMap(({ extra, id }) => extra === undefined ? [] : [[id, extra] as const])
  if (opaque === undefined && extras.length === 0) return undefined
  return defined<Echo>({ opaque, toolCalls: extras.length === 0 ? undefined : Object.fromEntries(extras) })
}

/** What the options of a message or part say that a server wants back. */
export const echoIn = (options: Readonly<Record<string, JsonRecord | undefined>>): Echo | undefined => {
  const own = options[key]
  if (own === undefined || !("opaque" in own || "toolCalls" in own)) return undefined
  return Option.getOrUndefined(decode(own))
}

/**
 * Remembers what servers want back. `Prompt.fromResponseParts`, which chats of `@effect/ai` use, drops all metadata.
 *
 * It holds the last answers that have something to send back, and no others.
 */
export class EchoMemory {
  readonly #byAnswer = new Map<string, Echo>()
  readonly #capacity: number

  constructor(capacity = 1000) {
    this.#capacity = capacity
  }

  remember(answer: Answer, echo: Echo): void {
    const name = nameOf(answer)
    this.#byAnswer.delete(name)
    this.#byAnswer.set(name, echo)
    for (const oldest of this.#byAnswer.keys()) {
      if (this.#byAnswer.size <= this.#capacity) break
      this.#byAnswer.delete(oldest)
    }
  }

  recall(answer: Answer): Echo | undefined {
    const name = nameOf(answer)
    const echo = this.#byAnswer.get(name)
    if (echo !== undefined) this.remember(answer, echo)
    return echo
  }
}

/** How an answer is known again in a history. */
export interface Answer {
  readonly text: string
  readonly reasoning: string
  readonly callIds: ReadonlyArray<string>
}

const nameOf = ({ callIds, reasoning, text }: Answer): string => JSON.stringify([callIds, text, reasoning])
