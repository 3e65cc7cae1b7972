import { ChatOpenAI } from "@langchain/openai"

/** @type {import("./peer.d.ts").Make} */
export const make = async (baseURL) => {
  const model = new ChatOpenAI({ model: "m", apiKey: "none", configuration: { baseURL } })
  return {
    stream: async (onText) => {
      let length = 0
      for await (const chunk of await model.stream("Hi")) {
        const text = chunk.text
        length += text.length
        if (text !== "") onText(text)
      }
      return length
    },
    ask: async () => (await model.invoke("Hi")).text
  }
}
