import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { generateText, streamText } from "ai"

/** @type {import("./peer.d.ts").Make} */
export const make = async (baseURL) => {
  const model = createOpenAICompatible({ name: "bench", baseURL, apiKey: "none" })("m")
  return {
    stream: async (onText) => {
      let length = 0
      for await (const text of streamText({ model, prompt: "Hi" }).textStream) {
        length += text.length
        onText(text)
      }
      return length
    },
    ask: async () => (await generateText({ model, prompt: "Hi" })).text
  }
}
