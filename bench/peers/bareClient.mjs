// An HttpClient layer by itself: a request, its text, `JSON.parse`. No program that uses the layer does less.
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { Effect, ManagedRuntime } from "effect"

/**
 * @param {import("effect").Layer.Layer<HttpClient.HttpClient>} client
 * @returns {import("./peer.d.ts").Make}
 */
export const over = (client) => {
  const runtime = ManagedRuntime.make(client)
  return async (baseUrl) => {
    const http = await runtime.runPromise(HttpClient.HttpClient)
    const post = () =>
      HttpClientRequest.post(`${baseUrl}/chat/completions`, { headers: { authorization: "Bearer none" } }).pipe(
        HttpClientRequest.bodyUnsafeJson({ model: "m", stream: false, messages: [{ role: "user", content: "Hi" }] })
      )
    const ask = Effect.suspend(() => http.execute(post())).pipe(
      Effect.flatMap((response) => response.text),
      Effect.map((text) => JSON.parse(text).choices[0].message.content)
    )
    return {
      stream: () => Promise.reject(new Error("A bare client has no parser of streams")),
      ask: () => runtime.runPromise(ask)
    }
  }
}
