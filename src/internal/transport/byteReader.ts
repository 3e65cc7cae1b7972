/**
 * Bodies that can be read without an Effect stream: those of `fetch` and of Node's clients, with their own methods.
 *
 * A network chunk costs so much less than through `response.stream` that this is worth knowing clients by their looks.
 * Other bodies are read through `response.stream`.
 */
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { fieldsOf, isRecord } from "../json.ts"
import type { Pull } from "./stream.ts"

/** The result of a read: bytes, or the end of the body (none) or its failure. */
export type Read = Uint8Array | Option.Option<HttpClientError.HttpClientError>

/** Receives the result of a read. Returns whether it used it. */
export type Take = (result: Read) => boolean

/** A body that is open. It has one reader, who does one read at a time. */
export interface Body {
  /** Tells what the next read comes to, at once or later; whoever takes it may read on. What is not taken is kept for the next read. */
  readonly read: (take: Take) => void
  /** Lets go of the body, wherever it is. */
  readonly close: Effect.Effect<void>
}

/** The body of a response that looks like one of the known clients', undefined for others. */
export const of = (response: HttpClientResponse.HttpClientResponse): Body | undefined => {
  const source = sourceOf(response)
  const failed = failedWith(response)
  if (source instanceof Response) {
    return source.body === null || source.body.locked ? undefined : ofWeb(source.body.getReader(), failed)
  }
  return ofReadable(source, failed) ?? ofReadable(fieldsOf(source)["body"], failed)
}

/** The result of a read for the error of a response's body. */
export const failedWith = (response: HttpClientResponse.HttpClientResponse): Failed => (cause) =>
  Option.some(new HttpClientError.ResponseError({ request: response.request, response, reason: "Decode", cause }))

/** The body of a Node stream of bytes, undefined for other values. */
export const ofReadable = (value: unknown, failed: Failed): Body | undefined =>
  isReadable(value) ? ofNode(value, failed) : undefined

/** Reads and discards the rest of a body, and calls back at its end. */
export const discard = (body: Body, onEnd: () => void): void =>
  body.read((result) => {
    if (isBytes(result)) discard(body, onEnd)
    else onEnd()
    return true
  })

/** Pulls from a body. */
export const pullOf = (body: Body): Pull<Uint8Array, HttpClientError.HttpClientError> =>
  Effect.async((resume) =>
    body.read((result) => {
      resume(isBytes(result) ? Effect.succeed([result]) : Effect.fail(result))
      return true
    })
  )

/** Lets go of the body that there is at that time. */
export const closing = (body: () => Body): Effect.Effect<void> => Effect.suspend(() => body().close)

/** Lets go of both bodies. */
export const closeAll = (one: Body, other: Body): Effect.Effect<void> => Effect.zipRight(one.close, other.close)

/** The source of the response in its client, unless the program replaced the stream of the response. */
const sourceOf = (response: HttpClientResponse.HttpClientResponse): unknown =>
  Object.hasOwn(response, "source") && !Object.hasOwn(response, "stream") ? fieldsOf(response)["source"] : undefined

/** The result of a read for the error of a body. */
export type Failed = (cause: unknown) => Read

const end: Read = Option.none()

/** Whether a read brought something. */
export const isBytes = (read: Read): read is Uint8Array => ArrayBuffer.isView(read)

/** Passes the result of a read to the reader, or keeps it until there is one. */
class Hatch {
  #take: Take | undefined
  #kept: Read | undefined

  /** Whether somebody waits. */
  get isWanted(): boolean {
    return this.#take !== undefined
  }

  /** Registers the reader, and passes it the kept result, if there is one. */
  wanted(take: Take): void {
    const kept = this.#kept
    this.#kept = undefined
    this.#take = take
    if (kept !== undefined) this.give(kept)
  }

  give(result: Read): void {
    const take = this.#take
    this.#take = undefined
    if (take?.(result) !== true) this.#kept = result
  }
}

/** The body that a reader of a web stream reads. */
export const ofWeb = (reader: ReadableStreamDefaultReader<Uint8Array>, failed: Failed): Body => {
  const hatch = new Hatch()
  let isReading = false
  const settle = (result: Read): void => {
    isReading = false
    hatch.give(result)
  }
  const onRead = ({ done, value }: ReadableStreamReadResult<Uint8Array>): void => settle(done ? end : value)
  const onError = (cause: unknown): void => settle(failed(cause))
  return {
    read: (take) => {
      hatch.wanted(take)
      if (isReading || !hatch.isWanted) return
      isReading = true
      reader.read().then(onRead, onError)
    },
    close: Effect.ignore(Effect.tryPromise(() => reader.cancel()))
  }
}

/** The members of a Node stream of bytes that are used here. */
interface Readable {
  readonly readable: boolean
  readonly read: () => unknown
  readonly on: (event: "readable" | "end" | "close" | "error", listener: (cause?: unknown) => void) => unknown
  readonly destroy: () => unknown
}

const isReadable = (value: unknown): value is Readable =>
  isRecord(value) && value["readable"] === true && typeof value["read"] === "function" &&
  typeof value["on"] === "function" && typeof value["destroy"] === "function"

const ofNode = (readable: Readable, failed: Failed): Body => {
  const hatch = new Hatch()
  let over: Read | undefined
  let isReading = false
  /** Gives what there is as long as it is wanted. Whoever takes a read may ask for the next one meanwhile. */
  const attempt = (): void => {
    if (isReading) return
    isReading = true
    while (hatch.isWanted) {
      const bytes = readable.read()
      const result = bytes instanceof Uint8Array ? bytes : over
      if (result === undefined) break
      hatch.give(result)
    }
    isReading = false
  }
  const settle = (result: Read): void => {
    over ??= result
    attempt()
  }
  readable.on("readable", attempt)
  readable.on("end", () => settle(end))
  readable.on("close", () => settle(over ?? failed(new Error("The connection was closed"))))
  readable.on("error", (cause) => settle(failed(cause)))
  return {
    read: (take) => {
      hatch.wanted(take)
      attempt()
    },
    close: Effect.sync(() => void readable.destroy())
  }
}
