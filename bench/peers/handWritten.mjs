// The plain way on a given HttpClient layer: what the loop does, as an Effect and as a Stream, without retries, timeouts,
// events or a history.
import { HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { Chunk, Effect, ManagedRuntime, Stream } from "effect"
import { decoding } from "./decoding.mjs"
import { read } from "./reading.mjs"

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
    const answer = Stream.suspend(() => {
      /** @type {Array<string>} */
      let texts = []
      const decode = decoding((text) => texts.push(text))
      return Stream.mapChunks(HttpClientResponse.stream(post(true)), (pieces) => {
        texts = []
        Chunk.forEach(pieces, decode)
        return Chunk.unsafeFromArray(texts)
      })
    })
    return {
      stream: (onText) => runtime.runPromise(read(answer, onText)),
      ask: () => runtime.runPromise(ask)
    }
  }
}
