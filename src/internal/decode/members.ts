/**
 * The members of chunks and messages that are more than text, reasoning, calls and usage: citations, log probabilities,
 * audio, and what a server wants back as it sent it.
 *
 * Nothing that a server sends is dropped: what has no field of its own is in `extra`.
 */
import { asRecord, asString, isRecord, itemsOf, type JsonRecord } from "../json.ts"
import { hasContent, reasoningNames } from "./chunk.ts"

const chunkMembers = new Set(["id", "object", "created", "model", "choices", "usage", "error", "x_groq"])
const choiceMembers = new Set(["index", "delta", "message", "finish_reason", "text", "logprobs", "usage", "error"])
const messageMembers = new Set(["role", "content", "refusal", "tool_calls", "function_call", "name"])

/** Members of a message that its server wants back, and that hold one value. */
const opaqueMembers = new Set([
  "extra_content",
  "provider_specific_fields",
  "reasoning_opaque",
  "reasoning_signature",
  "thought_signature",
  "signature",
  "encrypted_content"
])

/** Members of a message that its server wants back, and that hold a list of blocks. */
const blockMembers = new Set(["reasoning_details", "thinking_blocks"])

/** The members of one answer. Mutable: one answer has one reader. */
export class Members {
  readonly #extra = new Map<string, unknown>()
  readonly #opaque = new Map<string, unknown>()
  readonly #blocks = new Map<string, Blocks>()
  readonly #annotations = new Map<string, unknown>()
  readonly #logprobs = new Map<string, unknown>()
  readonly #thinking = new Blocks()
  /** How many entries the lists have. */
  size = 0

  /** Takes in the members of a chunk or a document. */
  addChunk(chunk: JsonRecord): void {
    for (const name in chunk) {
      const value = chunk[name]
      if (!chunkMembers.has(name) && hasContent(value)) this.#extra.set(name, value)
    }
  }

  /** Takes in the members of a choice. */
  addChoice(choice: JsonRecord): void {
    for (const name in choice) {
      const value = choice[name]
      if (!choiceMembers.has(name) && hasContent(value)) this.#extra.set(name, value)
    }
    const logprobs = asRecord(choice["logprobs"])
    for (const name in logprobs) this.#append(this.#logprobs, name, logprobs[name])
  }

  /** Takes in the members of a delta, or of a complete message. */
  addMessage(message: JsonRecord, isDocument: boolean): void {
    for (const name in message) {
      const value = message[name]
      if (name === "content") this.#addContent(value, isDocument)
      else if (messageMembers.has(name) || !hasContent(value)) continue
      else if (reasoningNames.includes(name)) this.#addReasoning(name, value)
      else if (name === "annotations") this.#addAnnotations(value)
      else if (name === "audio") this.#addAudio(value)
      else if (blockMembers.has(name)) this.#addBlocks(name, value, isDocument)
      else if (opaqueMembers.has(name)) this.#opaque.set(name, value)
      else this.#append(this.#extra, name, value)
    }
  }

  /** Citations and other marks on the text. */
  get annotations(): ReadonlyArray<unknown> | undefined {
    return this.#annotations.size === 0 ? undefined : Array.from(this.#annotations.values())
  }

  get logprobs(): JsonRecord | undefined {
    return this.#logprobs.size === 0 ? undefined : Object.fromEntries(this.#logprobs)
  }

  get extra(): JsonRecord | undefined {
    return this.#extra.size === 0 ? undefined : Object.fromEntries(this.#extra)
  }

  /** What the server wants back, or undefined if that is nothing. `text` is the text of the answer. */
  opaque(text: string): JsonRecord | undefined {
    const fields = Object.fromEntries(this.#opaque)
    for (const [name, { list }] of this.#blocks) fields[name] = list.slice()
    const thinking = this.#thinking.list
    if (thinking.length > 0) fields["content"] ??= [...thinking, ...(text === "" ? [] : [{ type: "text", text }])]
    return Object.keys(fields).length === 0 ? undefined : fields
  }

  /** Lists add up, and of anything else the last value counts. */
  #append(members: Map<string, unknown>, name: string, value: unknown): void {
    if (!hasContent(value)) return
    const before = members.get(name)
    if (Array.isArray(before) && Array.isArray(value)) {
      for (const item of value) before.push(item)
      this.#count(value.length)
    } else {
      members.set(name, Array.isArray(value) ? value.slice() : value)
    }
  }

  #count(entries: number): void {
    this.size += entries
  }

  /** Servers can repeat the marks so far. */
  #addAnnotations(value: unknown): void {
    const annotations = itemsOf(value)
    for (const annotation of annotations) this.#annotations.set(JSON.stringify(annotation), annotation)
    this.#count(annotations.length)
  }

  /** Mistral wants the parts with its thinking back. */
  #addContent(content: unknown, isDocument: boolean): void {
    const thinking = itemsOf(content).filter(isRecord).filter((part) => part["type"] === "thinking")
    if (thinking.length === 0) return
    if (isDocument) this.#opaque.set("content", content)
    else for (const part of thinking) this.#thinking.add(part)
  }

  /** Reasoning that is an object has a signature beside its text. */
  #addReasoning(name: string, value: unknown): void {
    if (isRecord(value)) this.#opaque.set(name, grow(asRecord(this.#opaque.get(name)) ?? {}, value))
  }

  #addBlocks(name: string, value: unknown, isDocument: boolean): void {
    if (isDocument) return void this.#opaque.set(name, value)
    const blocks = this.#blocks.get(name) ?? new Blocks()
    this.#blocks.set(name, blocks)
    const more = itemsOf(value).filter(isRecord)
    for (const block of more) blocks.add(block)
    this.#count(more.length)
  }

  /** The server wants the id of an assistant's audio back. The audio itself is in `extra`. */
  #addAudio(value: unknown): void {
    if (!isRecord(value)) return
    const audio = grow(asRecord(this.#extra.get("audio")) ?? {}, value)
    this.#extra.set("audio", audio)
    if (asString(audio["id"]) !== undefined) this.#opaque.set("audio", { id: audio["id"] })
  }
}

/** The blocks of a list that comes in deltas. */
class Blocks {
  readonly list: Array<JsonRecord> = []
  readonly #byIndex = new Map<unknown, number>()

  /** Adds a block. It goes on with the one that has its index, or else with the last one if that has its type. */
  add(block: JsonRecord): void {
    const { index } = block
    const at = index === undefined ? this.list.length - 1 : this.#byIndex.get(index) ?? -1
    const open = this.list[at]
    if (open !== undefined && isSameBlock(open, block)) this.list[at] = grow(open, block)
    else this.#byIndex.set(index, this.list.push({ ...block }) - 1)
  }
}

const isSameBlock = (open: JsonRecord, block: JsonRecord): boolean =>
  open["type"] === block["type"] && !(open["id"] && block["id"] && open["id"] !== block["id"]) &&
  (block["index"] !== undefined || (!open["signature"] && open["data"] === undefined))

/** Members whose pieces add up. */
const growing = new Set(["text", "thinking", "summary", "data", "transcript", "signature"])

/** The members of a block with those of its next piece. */
const grow = (open: JsonRecord, piece: JsonRecord): JsonRecord => {
  const grown = new Map(Object.entries(open))
  for (const [name, value] of Object.entries(piece)) {
    const before = grown.get(name)
    if (before !== undefined && !hasContent(value)) continue
    if (typeof before === "string" && typeof value === "string" && growing.has(name)) grown.set(name, before + value)
    else if (Array.isArray(before) && Array.isArray(value)) grown.set(name, joined(before, value))
    else grown.set(name, value)
  }
  return Object.fromEntries(grown)
}

/** Two lists of parts as one: the first part of the second list goes on with the last one of the first list. */
const joined = (before: ReadonlyArray<unknown>, more: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const last = before.at(-1)
  const [next, ...rest] = more
  return isRecord(last) && isRecord(next) && isSameBlock(last, next)
    ? [...before.slice(0, -1), grow(last, next), ...rest]
    : [...before, ...more]
}
