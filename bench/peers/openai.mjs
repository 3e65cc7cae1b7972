import OpenAI from "openai"

/** @type {import("./peer.d.ts").Make} */
export const make = async (baseURL) => {
  const client = new OpenAI({ baseURL, apiKey: "none" })
  const request = { model: "m", messages: [{ role: /** @type {const} */ ("user"), content: "Hi" }] }
  return {
    stream: async (onText) => {
      let length = 0
      for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
        const text = chunk.choices[0]?.delta.content
        if (!text) continue
        length += text.length
        onText(text)
      }
      return length
    },
    ask: async () => (await client.chat.completions.create(request)).choices[0]?.message.content ?? ""
  }
}
