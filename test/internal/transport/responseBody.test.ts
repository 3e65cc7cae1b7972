import { HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Stream } from "effect"
import { Readable } from "node:stream"
import * as Body from "../../../src/internal/transport/responseBody.ts"

const request = HttpClientRequest.get("http://127.0.0.1")
const bytes = (text: string) => new TextEncoder().encode(text)

/** A response like those of `NodeHttpClient`: the source is the stream, or has it. */
const sourced = (source: unknown): HttpClientResponse.HttpClientResponse =>
  Object.assign(Object.create(HttpClientResponse.fromWeb(request, new Response())), { source })

/** Bodies that the test writes. */
const makers = {
  "of fetch": () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, {
      highWaterMark: 9
    })
    const writer = writable.getWriter()
    return {
      response: HttpClientResponse.fromWeb(request, new Response(readable)),
      write: (text: string) => writer.write(bytes(text)),
      end: () => writer.close(),
      fail: (error: Error) => writer.abort(error)
    }
  },
  "of Node": () => {
    const readable = new Readable({ read: () => {} })
    return {
      response: sourced({ body: readable }),
      write: (text: string) => Promise.resolve(readable.push(bytes(text))),
      end: () => Promise.resolve(readable.push(null)),
      fail: (error: Error) => Promise.resolve(readable.destroy(error))
    }
  }
}

const next = (body: Body.Body, isTaken = true): Promise<string> =>
  new Promise((resolve) =>
    body.read((read) => {
      if (Body.isBytes(read)) resolve(Buffer.from(read).toString())
      else resolve(Option.isNone(read) ? "end" : String(Object(read.value).cause))
      return isTaken
    })
  )

const bodyOf = (response: HttpClientResponse.HttpClientResponse): Body.Body =>
  Body.fromResponse(response) ?? assert.fail("not known")

describe("a body", () => {
  for (const [name, make] of Object.entries(makers)) {
    it(`${name} is read as it arrives, to its end`, async () => {
      const { end, response, write } = make()
      const body = bodyOf(response)
      void write("a")
      assert.strictEqual(await next(body), "a")
      const nextRead = next(body)
      void write("b")
      assert.strictEqual(await nextRead, "b")
      void end()
      assert.strictEqual(await next(body), "end")
    })

    it(`${name} keeps unread data for the next read`, async () => {
      const { end, response, write } = make()
      const body = bodyOf(response)
      const unread = next(body, false)
      void write("a")
      assert.strictEqual(await unread, "a")
      assert.strictEqual(await next(body), "a")
      void end()
      assert.strictEqual(await next(body), "end")
    })

    it(`${name} can be read by another reader, also after unread data`, async () => {
      const { end, response, write } = make()
      const body = bodyOf(response)
      const unread = next(body, false)
      void write("a")
      await unread
      const texts: Array<string> = []
      const allRead = new Promise<void>((resolve) => {
        const take = (read: Body.Read): boolean => {
          if (!Body.isBytes(read)) {
            resolve()
            return true
          }
          texts.push(Buffer.from(read).toString())
          body.read(take)
          return true
        }
        body.read(take)
      })
      await write("b")
      void end()
      await allRead
      assert.strictEqual(texts.join(""), "ab")
    })

    it(`${name} fails with the error that broke it`, async () => {
      const { fail, response } = make()
      const body = bodyOf(response)
      const nextRead = next(body)
      fail(new Error("reset")).catch(() => {})
      assert.strictEqual(await nextRead, "Error: reset")
    })

    it(`${name} ends for a waiting reader when it is closed`, async () => {
      const { response } = make()
      const body = bodyOf(response)
      const nextRead = next(body)
      await Effect.runPromise(body.close)
      assert.include(["end", "Error: The connection was closed"], await nextRead)
    })
  }

  it("is unknown if the program replaced the stream of the response, or already reads it", () => {
    const response = HttpClientResponse.fromWeb(request, new Response("a"))
    assert.isUndefined(Body.fromResponse(Object.create(response, { stream: { value: Stream.empty } })))
    assert.isUndefined(
      Body.fromResponse(Object.defineProperty(sourced(new Response("a")), "stream", { value: Stream.empty }))
    )
    const read = new Response("a")
    read.body?.getReader()
    assert.isUndefined(Body.fromResponse(HttpClientResponse.fromWeb(request, read)))
    assert.isUndefined(Body.fromResponse(HttpClientResponse.fromWeb(request, new Response(null))))
    assert.isUndefined(Body.fromResponse(sourced({ body: { read: () => null } })))
  })
})
