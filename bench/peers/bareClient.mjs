// An HttpClient layer by itself: a request, its text, `JSON.parse`; of a stream its bytes, unread. No program that uses
// the layer does less.
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { Chunk, Effect, ManagedRuntime, Stream } from "effect"

/**
 * @param {import("effect").Layer.Layer<HttpClient.HttpClient>} client
 * @returns {import("./peer.d.ts").Make}
 */
export const over = (client) => {
  const runtime = ManagedRuntime.make(client)
  return async (baseUrl) => {
    const http = await runtime.runPromise(HttpClient.HttpClient)
    const post = (/** @type {boolean} */ stream) =>
      Effect.suspend(() =>
        http.execute(
          HttpClientRequest.post(`${baseUrl}/chat/completions`, { headers: { authorization: "Bearer none" } }).pipe(
            HttpClientRequest.bodyUnsafeJson({ model: "m", stream, messages: [{ role: "user", content: "Hi" }] })
          )
        )
      )
    const ask = post(false).pipe(
      Effect.flatMap((response) => response.text),
      Effect.map((text) => JSON.parse(text).choices[0].message.content)
    )
    return {
      stream: async (onText) => {
        let length = 0
        const each = (/** @type {Uint8Array} */ bytes) => {
          length += bytes.length
          onText("")
        }
        const read = Effect.flatMap(
          post(true),
          (response) =>
            Stream.runForEachChunk(response.stream, (pieces) => Effect.sync(() => Chunk.forEach(pieces, each)))
        )
        await runtime.runPromise(read)
        return length
      },
      ask: () => runtime.runPromise(ask)
    }
  }
}
