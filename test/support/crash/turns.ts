/**
 * What the program that is killed says, and what must be found of it.
 *
 * A prompt tells its conversation, and an answer its prompt, so that whatever is stored shows where it belongs.
 */
import { Schema } from "effect"
import type { ChatMessage } from "effect-chat"

/** How many conversations stream at once. */
const conversations = 20

/** After so many kills new conversations begin, since a turn costs what its history is long. */
const killsPerGeneration = 10

/** The conversations that the program has in this run. */
export const idsOf = (run: number): ReadonlyArray<string> =>
  Array.from(
    { length: conversations },
    (_, n) => `generation ${Math.floor(run / killsPerGeneration)}, conversation ${n}`
  )

export const promptOf = (id: string, run: number, turn: number): string => `${id}: run ${run}, turn ${turn}`

/** Some fifteen tokens. */
export const answerTo = (prompt: string): string => `You said “${prompt}”.\n\nThat is all there is to say about it. 完`

/** A line that the program prints: it begins, or the stream of a turn has ended and so the turn was told to be done. */
const Begun = Schema.TaggedStruct("Begun", { count: Schema.Literal(0) })
const Done = Schema.TaggedStruct("Done", { count: Schema.Int, id: Schema.String, prompt: Schema.String })

export const Report = Schema.parseJson(Schema.Union(Begun, Done))
export type Report = typeof Report.Type

export const isDone = Schema.is(Done)

/** What a store has of the turns that it was given. */
export interface Verdict {
  /** Turns that were told to be done. */
  readonly told: number
  /** Whole turns that are stored. */
  readonly found: number
  /** Messages that are no part of a whole turn of their conversation. */
  readonly torn: number
  /** Turns that are stored again. */
  readonly doubled: number
  /** Turns that were told to be done and are not stored. */
  readonly lost: number
}

export const nothing: Verdict = { told: 0, found: 0, torn: 0, doubled: 0, lost: 0 }

export const add = (a: Verdict, b: Verdict): Verdict => ({
  told: a.told + b.told,
  found: a.found + b.found,
  torn: a.torn + b.torn,
  doubled: a.doubled + b.doubled,
  lost: a.lost + b.lost
})

export const isSound = ({ doubled, lost, torn }: Verdict): boolean => doubled === 0 && lost === 0 && torn === 0

/** Judges what is stored of a conversation against the prompts whose turns were told to be done. */
export const judge = (
  id: string,
  messages: ReadonlyArray<ChatMessage.ChatMessage>,
  told: ReadonlyArray<string>
): Verdict => {
  const found = new Set<string>()
  let torn = 0
  let doubled = 0
  for (let n = 0; n < messages.length;) {
    const prompt = wholeTurn(id, messages[n], messages[n + 1])
    if (prompt === undefined) {
      torn++
      n++
    } else {
      if (found.has(prompt)) doubled++
      found.add(prompt)
      n += 2
    }
  }
  const lost = told.filter((prompt) => !found.has(prompt)).length
  return { told: told.length, found: found.size, torn, doubled, lost }
}

const wholeTurn = (
  id: string,
  user: ChatMessage.ChatMessage | undefined,
  assistant: ChatMessage.ChatMessage | undefined
): string | undefined => {
  if (user?.role !== "user" || typeof user.content !== "string" || !user.content.startsWith(`${id}: `)) return undefined
  return assistant?.role === "assistant" && assistant.content === answerTo(user.content) ? user.content : undefined
}
