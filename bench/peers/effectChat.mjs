// effect-chat: `chatStream` of a conversation with history and the default timeouts, over a given HttpClient layer.
import { Chunk, Effect, ManagedRuntime, Stream } from "effect"
import { LLMChat } from "../../dist/index.js"

/**
 * @param {import("effect").Layer.Layer<import("@effect/platform").HttpClient.HttpClient>} client
 * @returns {import("./peer.d.ts").Make}
 */
export const over = (client) => {
  const runtime = ManagedRuntime.make(client)
  return async (baseUrl) => {
    const chat = await runtime.runPromise(LLMChat.make({ baseUrl, apiKey: "none", model: "m" }))
    return {
      stream: async (onText) => {
        let length = 0
        const each = (/** @type {string} */ text) => {
          length += text.length
          onText(text)
        }
        const read = Stream.runForEachChunk(
          chat.chatStream("Hi"),
          (texts) => Effect.sync(() => Chunk.forEach(texts, each))
        )
        // Every answer is the first of its conversation: the others send no history either.
        await runtime.runPromise(Effect.zipLeft(read, chat.clearHistory))
        return length
      },
      ask: () => runtime.runPromise(Effect.map(chat.ask("Hi"), (response) => response.text))
    }
  }
}
