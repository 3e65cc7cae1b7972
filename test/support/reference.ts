/**
 * A second reader of the wire, for the library's to be compared with: it has the whole body before it, and reads only
 * what decides whether an answer is whole. Slow and short on purpose, and it shares no code with the library.
 */

/** What a body is, and the text of its answer. */
export interface Reading {
  /**
   * `whole`: the answer says that it ended. `cut`: it does not. `broken`: something in its midst cannot be read, or it
   * says that it failed. `unsure`: it is no plain answer, and what to make of it is the library's choice.
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

/** The events of a stream; the last one also without its blank line. Undefined where there are lines beside them. */
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

/** Objects that are no plain chunks are errors or noise, by rules that are not repeated here. */
const isPlain = (value: unknown): boolean =>
  Array.isArray(member(value, "choices")) && !/"error|"null"/.test(JSON.stringify(value))

const said = (choice: unknown, names: readonly [string, string]): string => {
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

/** Reads a document that is a whole completion. The end of a stream can stand behind it. */
const readDocument = (body: string): Reading => {
  const text = /^[{[]/.test(body) ? body.replace(/(?:data:\s*)?\[DONE\]$/, "").trimEnd() : body
  const parsed = parse(text)
  // Several documents, a document a line, and a page are the library's to tell apart.
  if (parsed === undefined) return /^[{[]/.test(text) && !/[\r\n]/.test(text) ? { verdict: "cut", text: "" } : unsure
  const choices = member(parsed.value, "choices")
  if (!Array.isArray(choices) || choices.length !== 1 || !isPlain(parsed.value)) return unsure
  // The only choice of a document is its answer, whatever its index.
  const [choice]: ReadonlyArray<unknown> = choices
  const verdict = failures.includes(reasonOf(choice)) ? "broken" : "whole"
  return { verdict, text: said(choice, ["message", "delta"]) }
}

const readStream = (stream: string): Reading => {
  const events = eventsOf(stream)
  if (events === undefined) return unsure
  let text = ""
  let isFinished = false
  let isBegun = false
  for (const [at, { data: written, name }] of events.entries()) {
    // Gateways can write the field's name twice.
    const data = written.replace(/^(?:data: ?)+/, "")
    if (name !== "" || data.includes("\n")) return unsure
    if (data.trim() === "" || data.startsWith(":")) continue
    // What has no choice has no answer that could be whole.
    if (data.startsWith("[DONE]")) return { verdict: isBegun ? "whole" : "cut", text }
    const parsed = parse(data)
    if (parsed === undefined) {
      const isLast = at === events.length - 1
      // The end of the body cut it off, or it is broken: after the finish reason that is not worth an answer.
      if (isLast && data.startsWith("{") && stream.endsWith(data)) {
        return { verdict: isFinished ? "whole" : "cut", text }
      }
      return isLast && isFinished ? unsure : { verdict: "broken", text }
    }
    const choice = firstChoice(parsed.value)
    if (!isPlain(parsed.value) || isRecord(member(choice, "delta")) === isRecord(member(choice, "message"))) {
      // A chunk of usage alone is plain too.
      if (!isPlain(parsed.value) || choice !== undefined) return unsure
    }
    isBegun ||= choice !== undefined
    text += said(choice, ["delta", "message"])
    const reason = reasonOf(choice)
    if (failures.includes(reason)) return { verdict: "broken", text }
    if (reason !== "") isFinished = true
  }
  return { verdict: isFinished ? "whole" : "cut", text }
}

/** Whether there is anything in a body that says that its answer ended. */
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
