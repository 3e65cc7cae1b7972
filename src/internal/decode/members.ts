/**
 * The members of chunks and messages that are more than text, reasoning, calls and usage: citations, log probabilities,
 * audio, and what a server wants back as it sent it.
 *
 * Nothing that a server sends is dropped: what has no field of its own is in `extra`.
 */
import { asRecord, asString, isRecord, itemsOf, type JsonRecord } from "../json.ts"
import { hasContent, reasoningNames, usageNames } from "./chunk.ts"

const chunkMembers = new Set(["id", "object", "created", "model", "choices", "error", "x_groq", ...usageNames])
const choiceMembers = new Set(["index", "delta", "message", "finish_reason", "text", "logprobs", "usage", "error"])
const messageMembers = new Set(["role", "content", "refusal", "tool_calls", "function_call", "name"])

/** Members that a server wants back: those of gateways, and whatever is signed or encrypted. */
const opaqueName = /^(?:extra_content|provider_specific_fields)$|signature|encrypted|opaque/i

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
  /** About how much is kept, in characters. */
  size = 0

  /** Takes in the members of a chunk or a document. */
  addChunk(chunk: JsonRecord): void {
    for (const name in chunk) {
      const value = chunk[name]
      if (!chunkMembers.has(name) && hasContent(value)) this.#set(this.#extra, name, value)
    }
  }

  /** Takes in the members of a choice. */
  addChoice(choice: JsonRecord): void {
    for (const name in choice) {
      const value = choice[name]
      if (!choiceMembers.has(name) && hasContent(value)) this.#set(this.#extra, name, value)
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
      else if (opaqueName.test(name)) this.#addOpaque(name, value)
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
    return this.#extra.size === 0 ? undefined : recordOf(this.#extra)
  }

  /** What the server wants back, or undefined if that is nothing. `text` is the text of the answer. */
  opaque(text: string): JsonRecord | undefined {
    const fields = new Map(this.#opaque)
    for (const [name, { value }] of this.#blocks) fields.set(name, value)
    const thinking = this.#thinking.value
    if (thinking.length > 0 && !fields.has("content")) {
      fields.set("content", [...thinking, ...(text === "" ? [] : [{ type: "text", text }])])
    }
    return fields.size === 0 ? undefined : recordOf(fields)
  }

  /** Lists add up, and of anything else the last value counts. */
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

  /** Most chunks repeat the members of those before: only what is new adds to the size. */
  #set(members: Map<string, unknown>, name: string, value: unknown): void {
    const before = members.get(name)
    if (value === before) return
    this.size += sizeOf(value) - (before === undefined ? -name.length - newEntry : sizeOf(before))
    members.set(name, value)
  }

  /** Servers can repeat the marks so far. */
  #addAnnotations(value: unknown): void {
    for (const annotation of itemsOf(value)) {
      const key = JSON.stringify(annotation)
      if (this.#annotations.has(key)) continue
      this.#annotations.set(key, annotation)
      this.size += key.length + sizeOf(annotation)
    }
  }

  /** Mistral wants the parts with its thinking back. */
  #addContent(content: unknown, isDocument: boolean): void {
    const thinking = itemsOf(content).filter(isRecord).filter((part) => part["type"] === "thinking")
    if (thinking.length === 0) return
    if (isDocument) this.#set(this.#opaque, "content", content)
    else for (const part of thinking) this.#addBlock(this.#thinking, part)
  }

  /** Reasoning that is an object has a signature beside its text. */
  #addReasoning(name: string, value: unknown): void {
    if (isRecord(value)) this.#grow(this.#opaque, name, value)
  }

  /** What a server wants back can come in pieces, as an object or as a text. */
  #addOpaque(name: string, value: unknown): void {
    if (isRecord(value)) return this.#grow(this.#opaque, name, value)
    const before = this.#opaque.get(name)
    if (typeof value !== "string") this.#append(this.#opaque, name, value)
    else this.#set(this.#opaque, name, typeof before === "string" ? extended(before, value) : value)
  }

  /** Adds a piece of an object that comes in pieces. */
  #grow(members: Map<string, unknown>, name: string, piece: JsonRecord): void {
    const before = members.get(name)
    const block = before instanceof Block ? before : new Block()
    members.set(name, block)
    this.size += block.add(piece)
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

  /** The server wants the id of an assistant's audio back. The audio itself is in `extra`. */
  #addAudio(value: unknown): void {
    if (!isRecord(value)) return
    this.#grow(this.#extra, "audio", value)
    if (asString(value["id"]) !== undefined) this.#set(this.#opaque, "audio", { id: value["id"] })
  }
}

const recordOf = (members: ReadonlyMap<string, unknown>): JsonRecord =>
  Object.fromEntries(Array.from(members, ([name, value]) => [name, valueOf(value)]))

/** The blocks of a list that comes in deltas. */
class Blocks {
  readonly #list: Array<Block> = []
  /** The last block of each index, and of each index and type. */
  readonly #byIndex = new Map<unknown, Block>()

  /**
   * Adds a block, and returns by how much the list has grown. It goes on with the one that has its index and type, or
   * without an index with the last one.
   */
  add(piece: JsonRecord): number {
    const { index, type } = piece
    const key = type === undefined ? index : JSON.stringify([index, type])
    const open = index === undefined ? this.#list.at(-1) : this.#byIndex.get(key)
    const block = open?.isContinuedBy(piece) === true ? open : new Block()
    if (block !== open) {
      this.#list.push(block)
      this.#byIndex.set(index, block).set(key, block)
    }
    return block.add(piece) + (block === open ? 0 : newEntry)
  }

  get value(): ReadonlyArray<JsonRecord> {
    return this.#list.map(({ value }) => value)
  }
}

/** Members whose pieces add up. Those that are not for reading can be repeated instead. */
const readable = new Set(["text", "thinking", "summary", "transcript"])

const isOpaquePiece = (name: string): boolean => name === "data" || opaqueName.test(name)

/** An opaque text with its next piece, which may be all of it so far once more. */
const extended = (before: string, piece: string): string =>
  piece.length >= before.length && piece.startsWith(before) ? piece : before + piece

/** An object that comes in pieces. It grows in place: each piece costs what it brings. */
export class Block {
  readonly #members = new Map<string, unknown>()

  /** Whether a piece goes on with this object. */
  isContinuedBy(piece: JsonRecord): boolean {
    const { id: otherId, index, type } = piece
    const id = this.#members.get("id")
    return (type === undefined || this.#members.get("type") === type) && !(id && otherId && id !== otherId) &&
      (index !== undefined || (!this.#members.get("signature") && this.#members.get("data") === undefined))
  }

  /** Adds a piece, and returns by how much the object has grown, in characters. */
  add(piece: JsonRecord): number {
    let growth = 0
    for (const [name, value] of Object.entries(piece)) {
      const before = this.#members.get(name)
      if (before === undefined) growth += name.length + newEntry
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
        growth -= parts.length * newEntry
        this.#members.set(name, Array.isArray(value) ? withParts(parts, value) : partOf(value))
        growth += parts.length * newEntry
      }
    }
    return growth
  }

  #joined(name: string, before: string, piece: string): string {
    // Pieces of sound can be equal: silence is. Only blocks have a type.
    const isSound = name === "data" && !this.#members.has("type")
    if (readable.has(name) || isSound) return before + piece
    return isOpaquePiece(name) ? extended(before, piece) : piece
  }

  get value(): JsonRecord {
    return Object.fromEntries(Array.from(this.#members, ([name, value]) => [name, valueOf(value)]))
  }
}

const partOf = (part: unknown): unknown => {
  if (!isRecord(part)) return part
  const block = new Block()
  block.add(part)
  return block
}

/** Adds parts to a list. The first of them goes on with the last one of the list. */
const withParts = (parts: Array<unknown>, more: ReadonlyArray<unknown>): Array<unknown> => {
  const last = parts.at(-1)
  more.forEach((part, at) => {
    if (at === 0 && isRecord(part) && last instanceof Block && last.isContinuedBy(part)) last.add(part)
    else parts.push(partOf(part))
  })
  return parts
}

const valueOf = (value: unknown): unknown => {
  if (value instanceof Block) return value.value
  return Array.isArray(value) ? value.map(valueOf) : value
}

/** For how much a further member, block or call counts, in characters: what is done with each at the end takes time. */
export const newEntry = 256

/** About how much memory a value takes, in characters. */
export const sizeOf = (value: unknown): number => {
  const entry = 16
  if (typeof value === "string") return entry + value.length
  let size = entry
  if (Array.isArray(value)) { for (const item of value) size += sizeOf(item) }
  else if (isRecord(value)) { for (const name in value) size += name.length + sizeOf(value[name]) }
  return size
}
