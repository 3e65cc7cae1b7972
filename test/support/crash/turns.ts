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

/** The name of a copy. */
export const copyOf = (id: string, run: number, turn: number): string => `${id} (copy ${run}.${turn})`

/** The conversation whose prompts this one has. */
const originOf = (id: string): string => id.replace(/ \(copy [\d.]+\)$/, "")

export const promptOf = (id: string, run: number, turn: number): string => `${id}: run ${run}, turn ${turn}`

/** Some fifteen tokens. */
export const answerTo = (prompt: string): string => `You said “${prompt}”.\n\nThat is all there is to say about it. 完`

const Begun = Schema.TaggedStruct("Begun", { count: Schema.Literal(0) })
const OfTurn = { count: Schema.Int, id: Schema.String, prompt: Schema.String }

/**
 * A line that the program prints: it begins; a turn was told to be done; a turn is about to be removed, or was; or a
 * conversation was copied with these turns.
 */
export const Report = Schema.parseJson(Schema.Union(
  Begun,
  Schema.TaggedStruct("Done", OfTurn),
  Schema.TaggedStruct("Removing", OfTurn),
  Schema.TaggedStruct("Removed", OfTurn),
  Schema.TaggedStruct("Copied", {
    count: Schema.Int,
    id: Schema.String,
    prompts: Schema.Array(Schema.String)
  })
))
export type Report = typeof Report.Type

/** What must be found of a conversation. */
export interface Told {
  /** The conversation whose prompts it has. */
  readonly origin: string
  /** Turns that must be stored. */
  readonly done: ReadonlySet<string>
  /** Turns that must not be stored. */
  readonly removed: ReadonlySet<string>
}

/** A conversation that may be stored, or not: a copy has the prompts of its origin. */
export const untold = (id: string): Told => ({ origin: originOf(id), done: new Set(), removed: new Set() })

/** What must be found after one more report. */
export const hear = (told: ReadonlyMap<string, Told>, report: Report): ReadonlyMap<string, Told> => {
  if (report._tag === "Begun") return told
  if (report._tag === "Copied") {
    return new Map([...told, [report.id, { ...untold(report.id), done: new Set(report.prompts) }]])
  }
  const { id, prompt } = report
  const { done, origin, removed } = told.get(id) ?? untold(id)
  const others = new Set([...done].filter((other) => other !== prompt))
  switch (report._tag) {
    case "Done":
      return new Map([...told, [id, { origin, done: new Set([...done, prompt]), removed }]])
    case "Removing":
      return new Map([...told, [id, { origin, done: others, removed }]])
    case "Removed":
      return new Map([...told, [id, { origin, done: others, removed: new Set([...removed, prompt]) }]])
  }
}

/** What a store has of the turns that it was given. */
export interface Verdict {
  /** Turns that were told to be done. */
  readonly told: number
  /** Whole turns that are stored. */
  readonly found: number
  /** Messages that are no part of a whole turn of their conversation. */
  readonly torn: number
  /** Turns that are stored again, or although they were removed. */
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

/** Judges what is stored of a conversation against what was told of it. */
export const judge = (
  messages: ReadonlyArray<ChatMessage.ChatMessage>,
  { done, origin, removed }: Told
): Verdict => {
  const seen = new Set<string>()
  const found = new Set<string>()
  let torn = 0
  let doubled = 0
  for (let n = 0; n < messages.length;) {
    const turn = wholeTurn(origin, messages.slice(n))
    if (turn === undefined) {
      torn++
      n++
    } else {
      if (seen.has(turn.prompt) || removed.has(turn.prompt)) doubled++
      seen.add(turn.prompt)
      if (turn.isAnswered) found.add(turn.prompt)
      n += turn.length
    }
  }
  const lost = [...done].filter((prompt) => !found.has(prompt)).length
  return { told: done.size, found: found.size, torn, doubled, lost }
}

/** A turn that is stored as it should be. */
interface WholeTurn {
  readonly prompt: string
  readonly length: number
  /** False while its calls wait for an approval, and if another turn came before that. */
  readonly isAnswered: boolean
}

/** The turn that the messages begin with: its prompt, steps of calls with a result each, and its answer. */
const wholeTurn = (id: string, messages: ReadonlyArray<ChatMessage.ChatMessage>): WholeTurn | undefined => {
  const [user] = messages
  if (user?.role !== "user" || typeof user.content !== "string" || !user.content.startsWith(`${id}: `)) return undefined
  const prompt = user.content
  let length = 1
  for (;;) {
    const answer = messages[length]
    if (answer?.role !== "assistant") {
      return length > 1 && (answer === undefined || answer.role === "user")
        ? { prompt, length, isAnswered: false }
        : undefined
    }
    length++
    const calls = answer.toolCalls ?? []
    if (calls.length === 0) {
      return answer.content === answerTo(prompt) ? { prompt, length, isAnswered: true } : undefined
    }
    let results = 0
    for (; messages[length]?.role === "tool"; length++) results++
    // Calls stay open at the end of a history alone.
    if (results !== calls.length && length < messages.length) return undefined
  }
}
