/**
 * The reports of the program that is killed, and the check of stored conversations against these reports.
 *
 * Each prompt contains the id of its conversation, and each answer its prompt, which shows where a stored message belongs.
 */
import { Schema } from "effect"
import type { ChatMessage } from "effect-chat"

/** The number of conversations that stream at the same time. */
const conversations = 20

/** After this number of kills, the program uses new conversations, because long histories make turns slow. */
const killsPerGeneration = 10

/** The conversations of the program in this run. */
export const idsOf = (run: number): ReadonlyArray<string> =>
  Array.from(
    { length: conversations },
    (_, n) => `generation ${Math.floor(run / killsPerGeneration)}, conversation ${n}`
  )

/** The name of a copy. */
export const copyOf = (id: string, run: number, turn: number): string => `${id} (copy ${run}.${turn})`

/** The conversation of which this one is a copy, or its own id. */
const originOf = (id: string): string => id.replace(/ \(copy [\d.]+\)$/, "")

export const promptOf = (id: string, run: number, turn: number): string => `${id}: run ${run}, turn ${turn}`

/** An answer of about fifteen tokens. */
export const answerTo = (prompt: string): string => `You said “${prompt}”.\n\nThat is all there is to say about it. 完`

const Begun = Schema.TaggedStruct("Begun", { count: Schema.Literal(0) })
const OfTurn = { count: Schema.Int, id: Schema.String, prompt: Schema.String }

/**
 * A line that the program prints: it started; a turn is complete; a turn is about to be removed, or was removed; or a
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

/** The turns that a conversation must and must not have. */
export interface Expected {
  /** The conversation of its prompts: for a copy, the original. */
  readonly origin: string
  /** Turns that must be stored. */
  readonly done: ReadonlySet<string>
  /** Turns that must not be stored. */
  readonly removed: ReadonlySet<string>
}

/** The expectation before any report: nothing is known of the conversation. */
export const nothingExpected = (id: string): Expected => ({ origin: originOf(id), done: new Set(), removed: new Set() })

/** The expectations after one more report. */
export const expectedAfter = (
  expected: ReadonlyMap<string, Expected>,
  report: Report
): ReadonlyMap<string, Expected> => {
  if (report._tag === "Begun") return expected
  if (report._tag === "Copied") {
    return new Map([...expected, [report.id, { ...nothingExpected(report.id), done: new Set(report.prompts) }]])
  }
  const { id, prompt } = report
  const { done, origin, removed } = expected.get(id) ?? nothingExpected(id)
  const others = new Set([...done].filter((other) => other !== prompt))
  switch (report._tag) {
    case "Done":
      return new Map([...expected, [id, { origin, done: new Set([...done, prompt]), removed }]])
    case "Removing":
      return new Map([...expected, [id, { origin, done: others, removed }]])
    case "Removed":
      return new Map([...expected, [id, { origin, done: others, removed: new Set([...removed, prompt]) }]])
  }
}

/** The result of a check: numbers of turns. */
export interface Verdict {
  /** Turns that were reported as complete. */
  readonly reported: number
  /** Complete turns that are stored. */
  readonly found: number
  /** Stored messages that belong to no complete turn of their conversation. */
  readonly incomplete: number
  /** Turns that are stored twice, or although they were removed. */
  readonly duplicated: number
  /** Turns that were reported as complete and are not stored. */
  readonly lost: number
}

export const nothing: Verdict = { reported: 0, found: 0, incomplete: 0, duplicated: 0, lost: 0 }

export const add = (a: Verdict, b: Verdict): Verdict => ({
  reported: a.reported + b.reported,
  found: a.found + b.found,
  incomplete: a.incomplete + b.incomplete,
  duplicated: a.duplicated + b.duplicated,
  lost: a.lost + b.lost
})

export const isSound = ({ duplicated, lost, incomplete }: Verdict): boolean =>
  duplicated === 0 && lost === 0 && incomplete === 0

/** Checks the stored messages of a conversation. */
export const judge = (
  messages: ReadonlyArray<ChatMessage.ChatMessage>,
  { done, origin, removed }: Expected
): Verdict => {
  const seen = new Set<string>()
  const found = new Set<string>()
  let incomplete = 0
  let duplicated = 0
  for (let n = 0; n < messages.length;) {
    const turn = completeTurn(origin, messages.slice(n))
    if (turn === undefined) {
      incomplete++
      n++
    } else {
      if (seen.has(turn.prompt) || removed.has(turn.prompt)) duplicated++
      seen.add(turn.prompt)
      if (turn.isAnswered) found.add(turn.prompt)
      n += turn.length
    }
  }
  const lost = [...done].filter((prompt) => !found.has(prompt)).length
  return { reported: done.size, found: found.size, incomplete, duplicated, lost }
}

/** A complete turn. */
interface CompleteTurn {
  readonly prompt: string
  readonly length: number
  /** False if its calls still wait for an approval, or never got one. */
  readonly isAnswered: boolean
}

/** The complete turn at the start of the messages: its prompt, steps of calls and their results, and its answer. */
const completeTurn = (id: string, messages: ReadonlyArray<ChatMessage.ChatMessage>): CompleteTurn | undefined => {
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
    // Calls may lack results only at the end of a history.
    if (results !== calls.length && length < messages.length) return undefined
  }
}
