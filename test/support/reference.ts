/**
 * A simple reader of responses, to compare with the library's decoder. It needs the complete body, and reads only the text
 * and whether the answer is complete. It is short and slow, and shares no code with the library.
 */

/** The verdict on a body, and the text of its answer. */
export interface Reading {
  /**
   * `whole`: the answer has an end. `cut`: it has none. `broken`: a part before the end cannot be read, or the answer
   * reports a failure. `unsure`: this reader has no rule for the body, and the library decides.
   */
  readonly verdict: "whole" | "cut" | "broken" | "unsure"
  readonly text: string
}

interface Event {
  readonly name: string
  readonly data: string
}

const failures = [
  "error",
  "abort",
  "aborted",
  "cancelled",
  "network_error",
  "insufficient_system_resource"
]

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

const parse = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

const known = ["data", "event", "id", "retry", ""]

/** The events of a stream. The last one needs no blank line. Undefined if there are lines that are not fields. */
const eventsOf = (text: string): ReadonlyArray<Event> | undefined => {
  const events: Array<Event> = []
  let name = ""
  let data: Array<string> = []
  for (const line of [...text.split(/\r\n|\r|\n/), ""]) {
    if (line === "") {
      if (data.length > 0) events.push({ name, data: data.join("\n") })
      name = ""
      data = []
      continue
    }
    const [, field = "", value = ""] = /^([^:]*):? ?([^]*)$/.exec(line) ?? []
    if (field === "event") name = value
    if (field === "data") data.push(value)
    if (!known.includes(field)) return undefined
  }
  return events
}

const firstChoice = (chunk: unknown): unknown => {
  const choices = member(chunk, "choices")
  if (!Array.isArray(choices)) return undefined
  return choices.find((choice: unknown) => {
    const index = member(choice, "index")
    const isObject = typeof choice === "object" && choice !== null && !Array.isArray(choice)
    return isObject && !(Number(index) > 0)
  })
}

const textOf = (content: unknown): string => {
  if (typeof content === "string") return content
  if (!Array.isArray(content)) return ""
  return content.map((part: unknown) => {
    const type = member(part, "type")
    const text = member(part, "text")
    const isText = type === "text" || type === "output_text" || type === undefined
    return isText && typeof text === "string" ? text : ""
  }).join("")
}

const isRecord = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value)

/** Whether an object is a plain chunk. The library has rules for others, which are not repeated here. */
const isPlain = (value: unknown): boolean =>
  Array.isArray(member(value, "choices")) && !/"error|"null"/.test(JSON.stringify(value))

const answerText = (choice: unknown, names: readonly [string, string]): string => {
  const message = names.map((name) => member(choice, name)).find(isRecord)
  if (message !== undefined) return textOf(member(message, "content"))
  const text = member(choice, "text")
  return typeof text === "string" ? text : ""
}

const reasonOf = (choice: unknown): string => {
  const reason = member(choice, "finish_reason")
  return typeof reason === "string" ? reason.toLowerCase() : ""
}

const unsure: Reading = { verdict: "unsure", text: "" }

/** Reads a document, which may be followed by [DONE]. */
const readDocument = (body: string): Reading => {
  const text = /^[{[]/.test(body) ? body.replace(/(?:data:\s*)?\[DONE\]$/, "").trimEnd() : body
  const parsed = parse(text)
  // Several documents, one document per line, or a page: the library decides.
  if (parsed === undefined) return /^[{[]/.test(text) && !/[\r\n]/.test(text) ? { verdict: "cut", text: "" } : unsure
  const choices = member(parsed.value, "choices")
  if (!Array.isArray(choices) || choices.length !== 1 || !isPlain(parsed.value)) return unsure
  // The only choice of a document is its answer, with any index.
  const [choice]: ReadonlyArray<unknown> = choices
  const verdict = failures.includes(reasonOf(choice)) ? "broken" : "whole"
  return { verdict, text: answerText(choice, ["message", "delta"]) }
}

const readStream = (stream: string): Reading => {
  const events = eventsOf(stream)
  if (events === undefined) return unsure
  let text = ""
  let isFinished = false
  let isBegun = false
  for (const [at, { data: written, name }] of events.entries()) {
    // Gateways can repeat `data:`.
    const data = written.replace(/^(?:data: ?)+/, "")
    if (name !== "" || data.includes("\n")) return unsure
    if (data.trim() === "" || data.startsWith(":")) continue
    // Without a choice there is no answer.
    if (data.startsWith("[DONE]")) return { verdict: isBegun ? "whole" : "cut", text }
    const parsed = parse(data)
    if (parsed === undefined) {
      const isLast = at === events.length - 1
      // The end of the body cut the event off, or it is malformed. After the finish reason, the answer is complete anyway.
      if (isLast && data.startsWith("{") && stream.endsWith(data)) {
        return { verdict: isFinished ? "whole" : "cut", text }
      }
      return isLast && isFinished ? unsure : { verdict: "broken", text }
    }
    const choice = firstChoice(parsed.value)
    if (!isPlain(parsed.value) || isRecord(member(choice, "delta")) === isRecord(member(choice, "message"))) {
      // A chunk with only usage is plain too.
      if (!isPlain(parsed.value) || choice !== undefined) return unsure
    }
    isBegun ||= choice !== undefined
    text += answerText(choice, ["delta", "message"])
    const reason = reasonOf(choice)
    if (failures.includes(reason)) return { verdict: "broken", text }
    if (reason !== "") isFinished = true
  }
  return { verdict: isFinished ? "whole" : "cut", text }
}

/** Whether a body has any sign of the end of an answer. */
export const hasEnd = (body: Uint8Array): boolean => {
  const text = new TextDecoder().decode(body)
  return /\[DONE\]|"finish_reason"\s*:\s*"[^"]/.test(text) || member(parse(text.trim())?.value, "choices") !== undefined
}

/** Reads a body with a 2xx status. */
export const read = (body: Uint8Array, contentType: string): Reading => {
  const text = new TextDecoder().decode(body)
  const start = text.trimStart()
  if (start === "") return { verdict: "cut", text: "" }
  if (/^[{["<]/.test(start)) return readDocument(text.trim())
  const isStream = contentType.includes("event-stream") || /^(?:data|event|id|retry|error)?:/.test(start)
  return isStream ? readStream(start) : unsure
}
