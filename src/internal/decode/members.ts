/**
 * Collects the members of chunks and messages other than text, reasoning, tool calls and usage: citations, log
 * probabilities, audio, and opaque fields, which must be sent back to the server unchanged.
 *
 * No member is dropped: `extra` has those without a field of their own.
 */
import { asRecord, asString, isRecord, itemsOf, type JsonRecord } from "../json.ts"
import { hasContent, reasoningNames, usageNames } from "./chunk.ts"

const chunkMembers = new Set(["id", "object", "created", "model", "choices", "error", "x_groq", ...usageNames])
const choiceMembers = new Set(["index", "delta", "message", "finish_reason", "text", "logprobs", "usage", "error"])
const messageMembers = new Set(["role", "content", "refusal", "tool_calls", "function_call", "name"])

/** Members that must be sent back: those of gateways, and signed or encrypted ones. */
const opaqueName = /^(?:extra_content|provider_specific_fields)$|signature|encrypted|opaque/i

/** Members of a message that must be sent back and that are lists of blocks. */
const blockMembers = new Set(["reasoning_details", "thinking_blocks"])

/** The members of one answer. Mutable: one answer has one reader. */
export class Members {
  readonly #extra = new Map<string, unknown>()
  readonly #opaque = new Map<string, unknown>()
  readonly #blocks = new Map<string, Blocks>()
  readonly #annotations = new Map<string, unknown>()
  readonly #logprobs = new Map<string, unknown>()
  readonly #thinking = new Blocks()
  /** The approximate size of the members, in characters. */
  size = 0

  /** Adds the members of a chunk or a document. */
  addChunk(chunk: JsonRecord): void {
    for (const name in chunk) {
      const value = chunk[name]
      if (!chunkMembers.has(name) && hasContent(value)) this.#set(this.#extra, name, value)
    }
  }

  /** Adds the members of a choice. */
  addChoice(choice: JsonRecord): void {
    for (const name in choice) {
      const value = choice[name]
      if (!choiceMembers.has(name) && hasContent(value)) this.#set(this.#extra, name, value)
    }
    const logprobs = asRecord(choice["logprobs"])
    for (const name in logprobs) this.#append(this.#logprobs, name, logprobs[name])
  }

  /** Adds the members of a delta, or of a complete message. */
  addMessage(message: JsonRecord, isDocument: boolean): void {
    for (const name in message) {
      const value = message[name]
      if (name === "content") this.#addContent(value, isDocument)
      else if (messageMembers.has(name) || !hasContent(value)) continue
      else if (reasoningNames.includes(name)) this.#addReasoning(name, value)
      else if (name === "annotations") this.#addAnnotations(value)
      else if (name === "audio") this.#addAudio(value)
      else if (blockMembers.has(name)) this.#addBlocks(name, value, isDocument)
      else if (opaqueName.test(name)) this.#addOpaque(name, value)
      else this.#append(this.#extra, name, value)
    }
  }

  /** Citations and other annotations of the text. */
  get annotations(): ReadonlyArray<unknown> | undefined {
    return this.#annotations.size === 0 ? undefined : Array.from(this.#annotations.values())
  }

  get logprobs(): JsonRecord | undefined {
    return this.#logprobs.size === 0 ? undefined : Object.fromEntries(this.#logprobs)
  }

  get extra(): JsonRecord | undefined {
    return this.#extra.size === 0 ? undefined : toRecord(this.#extra)
  }

  /** The fields that must be sent back. Undefined if there are none. `text` is the text of the answer. */
  opaque(text: string): JsonRecord | undefined {
    const fields = new Map(this.#opaque)
    for (const [name, { value }] of this.#blocks) fields.set(name, value)
    const thinking = this.#thinking.value
    if (thinking.length > 0 && !fields.has("content")) {
      fields.set("content", [...thinking, ...(text === "" ? [] : [{ type: "text", text }])])
    }
    return fields.size === 0 ? undefined : toRecord(fields)
  }

  /** Appends to a list, and replaces any other value. */
  #append(members: Map<string, unknown>, name: string, value: unknown): void {
    if (!hasContent(value)) return
    const before = members.get(name)
    if (Array.isArray(before) && Array.isArray(value)) {
      for (const item of value) before.push(item)
      this.size += sizeOf(value)
    } else {
      this.#set(members, name, Array.isArray(value) ? value.slice() : value)
    }
  }

  /** Most chunks repeat earlier members, so only new values add to the size. */
  #set(members: Map<string, unknown>, name: string, value: unknown): void {
    const before = members.get(name)
    if (value === before) return
    this.size += sizeOf(value) - (before === undefined ? -name.length - entrySize : sizeOf(before))
    members.set(name, value)
  }

  /** Some servers repeat the annotations so far. */
  #addAnnotations(value: unknown): void {
    for (const annotation of itemsOf(value)) {
      const key = JSON.stringify(annotation)
      if (this.#annotations.has(key)) continue
      this.#annotations.set(key, annotation)
      this.size += key.length + sizeOf(annotation)
    }
  }

  /** Thinking parts must be sent back to Mistral. */
  #addContent(content: unknown, isDocument: boolean): void {
    const thinking = itemsOf(content).filter(isRecord).filter((part) => part["type"] === "thinking")
    if (thinking.length === 0) return
    if (isDocument) this.#set(this.#opaque, "content", content)
    else for (const part of thinking) this.#addBlock(this.#thinking, part)
  }

  /** Reasoning that is an object has a signature besides its text. */
  #addReasoning(name: string, value: unknown): void {
    if (isRecord(value)) this.#grow(this.#opaque, name, value)
  }

  /** An opaque field may arrive in deltas, as objects or as text. */
  #addOpaque(name: string, value: unknown): void {
    if (isRecord(value)) return this.#grow(this.#opaque, name, value)
    const before = this.#opaque.get(name)
    if (typeof value !== "string") this.#append(this.#opaque, name, value)
    else this.#set(this.#opaque, name, typeof before === "string" ? joinOpaque(before, value) : value)
  }

  /** Adds a delta of an object that arrives in deltas. */
  #grow(members: Map<string, unknown>, name: string, delta: JsonRecord): void {
    const before = members.get(name)
    const block = before instanceof Block ? before : new Block()
    members.set(name, block)
    this.size += block.add(delta)
  }

  #addBlocks(name: string, value: unknown, isDocument: boolean): void {
    if (isDocument) return this.#set(this.#opaque, name, value)
    const blocks = this.#blocks.get(name) ?? new Blocks()
    this.#blocks.set(name, blocks)
    for (const block of itemsOf(value).filter(isRecord)) this.#addBlock(blocks, block)
  }

  #addBlock(blocks: Blocks, block: JsonRecord): void {
    this.size += blocks.add(block)
  }

  /** Only the id of an assistant's audio must be sent back. The audio itself is in `extra`. */
  #addAudio(value: unknown): void {
    if (!isRecord(value)) return
    this.#grow(this.#extra, "audio", value)
    if (asString(value["id"]) !== undefined) this.#set(this.#opaque, "audio", { id: value["id"] })
  }
}

const toRecord = (members: ReadonlyMap<string, unknown>): JsonRecord =>
  Object.fromEntries(Array.from(members, ([name, value]) => [name, plainValue(value)]))

/** The blocks of a list that arrives in deltas. */
class Blocks {
  readonly #list: Array<Block> = []
  /** The last block of each index, and of each index and type. */
  readonly #byIndex = new Map<unknown, Block>()

  /**
   * Adds a delta, and returns by how many characters the list has grown. The delta continues the last block with its index
   * and type, or without an index the last block of the list; otherwise it starts a block.
   */
  add(delta: JsonRecord): number {
    const { index, type } = delta
    const key = type === undefined ? index : JSON.stringify([index, type])
    const last = index === undefined ? this.#list.at(-1) : this.#byIndex.get(key)
    const block = last?.isContinuedBy(delta) === true ? last : new Block()
    if (block !== last) {
      this.#list.push(block)
      this.#byIndex.set(index, block).set(key, block)
    }
    return block.add(delta) + (block === last ? 0 : entrySize)
  }

  get value(): ReadonlyArray<JsonRecord> {
    return this.#list.map(({ value }) => value)
  }
}

/** Members whose deltas are always appended. A text in another member may also be a repetition. */
const appendedMembers = new Set(["text", "thinking", "summary", "transcript"])

const isOpaqueMember = (name: string): boolean => name === "data" || opaqueName.test(name)

/** Appends a delta to an opaque text. A delta that starts with the text so far replaces it. */
const joinOpaque = (before: string, delta: string): string =>
  delta.length >= before.length && delta.startsWith(before) ? delta : before + delta

/** An object that arrives in deltas. It is mutable, so that adding a delta takes time in proportion to the delta alone. */
export class Block {
  readonly #members = new Map<string, unknown>()

  /** Whether a delta continues this object. */
  isContinuedBy(delta: JsonRecord): boolean {
    const { id: deltaId, index, type } = delta
    const id = this.#members.get("id")
    return (type === undefined || this.#members.get("type") === type) && !(id && deltaId && id !== deltaId) &&
      (index !== undefined || (!this.#members.get("signature") && this.#members.get("data") === undefined))
  }

  /** Adds a delta, and returns by how many characters the object has grown. */
  add(delta: JsonRecord): number {
    let growth = 0
    for (const [name, value] of Object.entries(delta)) {
      const before = this.#members.get(name)
      if (before === undefined) growth += name.length + entrySize
      else if (!hasContent(value)) continue
      if (typeof before === "string" && typeof value === "string") {
        const joined = this.#joined(name, before, value)
        growth += joined.length - before.length
        this.#members.set(name, joined)
      } else if (before instanceof Block && isRecord(value)) {
        growth += before.add(value)
      } else {
        growth += value === before ? 0 : sizeOf(value)
        const parts: Array<unknown> = Array.isArray(before) ? before : []
        growth -= parts.length * entrySize
        this.#members.set(name, Array.isArray(value) ? appendParts(parts, value) : toPart(value))
        growth += parts.length * entrySize
      }
    }
    return growth
  }

  #joined(name: string, before: string, delta: string): string {
    // Equal deltas of audio are no repetition: they may be silence. Audio has no `type`, which blocks have.
    const isAudio = name === "data" && !this.#members.has("type")
    if (appendedMembers.has(name) || isAudio) return before + delta
    return isOpaqueMember(name) ? joinOpaque(before, delta) : delta
  }

  get value(): JsonRecord {
    return toRecord(this.#members)
  }
}

const toPart = (part: unknown): unknown => {
  if (!isRecord(part)) return part
  const block = new Block()
  block.add(part)
  return block
}

/** Appends parts to a list. The first one may continue the last part of the list. */
const appendParts = (parts: Array<unknown>, added: ReadonlyArray<unknown>): Array<unknown> => {
  const last = parts.at(-1)
  added.forEach((part, at) => {
    if (at === 0 && isRecord(part) && last instanceof Block && last.isContinuedBy(part)) last.add(part)
    else parts.push(toPart(part))
  })
  return parts
}

const plainValue = (value: unknown): unknown => {
  if (value instanceof Block) return value.value
  return Array.isArray(value) ? value.map(plainValue) : value
}

/** The size that a member, block or call adds to its content, in characters: each takes time at the end of the answer. */
export const entrySize = 256

/** The approximate memory of a value, in characters. */
export const sizeOf = (value: unknown): number => {
  const valueSize = 16
  if (typeof value === "string") return valueSize + value.length
  let size = valueSize
  if (Array.isArray(value)) { for (const item of value) size += sizeOf(item) }
  else if (isRecord(value)) { for (const name in value) size += name.length + sizeOf(value[name]) }
  return size
}
