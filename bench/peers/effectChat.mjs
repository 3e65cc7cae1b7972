// effect-chat: `chatStream` of a conversation with history and the default timeouts, over a given HttpClient layer.
import { Effect, ManagedRuntime } from "effect"
import { LLMChat } from "../../dist/index.js"
import { read } from "./reading.mjs"

/**
 * @param {import("effect").Layer.Layer<import("@effect/platform").HttpClient.HttpClient>} client
 * @returns {import("./peer.d.ts").Make}
 */
export const over = (client) => {
  const runtime = ManagedRuntime.make(client)
  return async (baseUrl) => {
    const chat = await runtime.runPromise(LLMChat.make({ baseUrl, apiKey: "none", model: "m" }))
    return {
      // Every answer is the first of its conversation: the others send no history either.
      stream: (onText) => runtime.runPromise(Effect.zipLeft(read(chat.chatStream("Hi"), onText), chat.clearHistory)),
      ask: () => runtime.runPromise(Effect.map(chat.ask("Hi"), (response) => response.text))
    }
  }
}
