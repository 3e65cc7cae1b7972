/**
 * The kinds of completions services that a conversation can use.
 */
import { Chunk, Effect, Stream } from "effect"
import { ChatCompletions, Fallback, Limits, type LLMConfig } from "effect-chat"
import { options } from "./chats.ts"

/** The server that a fallback tries. */
export const second: LLMConfig.Options = options({ baseUrl: "http://second.test/v1" })

/** A service of a program: it ignores the signal, and its streams have empty chunks. */
const handWritten = (completions: ChatCompletions.Service): ChatCompletions.Service => ({
  complete: ({ config, messages, options }) => completions.complete({ config, messages, options }),
  stream: ({ config, messages, options }) =>
    completions.stream({ config, messages, options }).pipe(
      Stream.chunks,
      Stream.flatMap((chunk) => Stream.fromChunks(Chunk.empty(), chunk, Chunk.empty()))
    )
})

const limited = (completions: ChatCompletions.Service) =>
  Limits.make({ concurrency: 1, tokensPerMinute: 1e9 }).over(completions)

const fallenBack = (completions: ChatCompletions.Service) => Fallback.make({ configs: [second] }).over(completions)

/** Services with the scripted server, by name. With limits, calls run one at a time. */
export const kinds = {
  "over HTTP": ChatCompletions.make,
  "with limits": Effect.flatMap(ChatCompletions.make, limited),
  "with a fallback": Effect.flatMap(ChatCompletions.make, fallenBack),
  "with limits and a fallback": ChatCompletions.make.pipe(Effect.flatMap(limited), Effect.flatMap(fallenBack)),
  "of a program": Effect.map(ChatCompletions.make, handWritten),
  "of a program, with limits and a fallback": ChatCompletions.make.pipe(
    Effect.map(handWritten),
    Effect.flatMap(limited),
    Effect.flatMap(fallenBack)
  )
}

/** The names of all kinds. */
export const kindNames = [
  "over HTTP",
  "with limits",
  "with a fallback",
  "with limits and a fallback",
  "of a program",
  "of a program, with limits and a fallback"
] as const
