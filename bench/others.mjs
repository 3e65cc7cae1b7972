// Clients of other packages, asked for one answer as a stream, as their documentation shows it.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { extractReasoningMiddleware, jsonSchema, streamText, tool, wrapLanguageModel } from "ai"
import { readFileSync } from "node:fs"
import OpenAI from "openai"

/** @param {string} name */
const versioned = (name) => {
  const file = new URL(`node_modules/${name}/package.json`, import.meta.url)
  return `${name} ${JSON.parse(readFileSync(file, "utf8")).version}`
}

/** @param {unknown} error */
const errorOf = (error) =>
  error instanceof Error
    ? { name: error.constructor.name, message: error.message }
    : { name: typeof error, message: typeof error === "string" ? error : JSON.stringify(error) }

/** A text as it arrives where it is forwarded as bytes. @param {string} text */
export const asBytes = (text) => Buffer.from(text).toString()

const apiKey = "the-key-of-the-program"
const prompt = "Hi"
const parameters = { type: /** @type {const} */ ("object"), properties: {} }
const named = ["f", "g"]

/** @type {import("./others.d.mts").Client} */
const openai = {
  name: versioned("openai"),
  ask: async (baseURL, timeout) => {
    const client = new OpenAI({ baseURL, timeout, apiKey, maxRetries: 0 })
    const messages = [{ role: /** @type {const} */ ("user"), content: prompt }]
    const tools = named.map((name) => ({ type: /** @type {const} */ ("function"), function: { name, parameters } }))
    const request = { model: "m", messages, tools, stream: /** @type {const} */ (true) }
    const heard = { text: "", reasoning: "", toolCalls: [], error: undefined }
    /** @type {Map<unknown, { id: string, name: string, arguments: string }>} */
    const calls = new Map()
    try {
      for await (const chunk of await client.chat.completions.create(request)) {
        const delta = chunk.choices?.[0]?.delta
        // What is no text by the package's types is no text for its user.
        if (typeof delta?.content === "string") heard.text += asBytes(delta.content)
        for (const { function: fn, id, index } of delta?.tool_calls ?? []) {
          const call = calls.get(index) ?? { id: id ?? "", name: fn?.name ?? "", arguments: "" }
          calls.set(index, { ...call, arguments: call.arguments + (fn?.arguments ?? "") })
        }
      }
    } catch (error) {
      return { ...heard, toolCalls: [...calls.values()], error: errorOf(error) }
    }
    return { ...heard, toolCalls: [...calls.values()] }
  }
}

/** @type {import("./others.d.mts").Client} */
const aiSdk = {
  name: `${versioned("ai")}, ${versioned("@ai-sdk/openai-compatible")}`,
  ask: async (baseURL, millis) => {
    const model = wrapLanguageModel({
      model: createOpenAICompatible({ name: "server", baseURL, apiKey })("m"),
      middleware: extractReasoningMiddleware({ tagName: "think" })
    })
    const tools = Object.fromEntries(named.map((name) => [name, tool({ inputSchema: jsonSchema(parameters) })]))
    const timeout = { firstChunkMs: millis, chunkMs: millis }
    let [text, reasoning] = ["", ""]
    let error
    const toolCalls = []
    try {
      const { fullStream } = streamText({ model, prompt, tools, maxRetries: 0, timeout, onError: () => {} })
      for await (const part of fullStream) {
        if (part.type === "text-delta") text += asBytes(part.text)
        if (part.type === "reasoning-delta") reasoning += part.text
        if (part.type === "tool-call") {
          toolCalls.push({ id: part.toolCallId, name: part.toolName, arguments: JSON.stringify(part.input) })
        }
        if (part.type === "error") error ??= errorOf(part.error)
        if (part.type === "abort") error ??= { name: "abort", message: String(part.reason ?? "") }
      }
    } catch (thrown) {
      error ??= errorOf(thrown)
    }
    return { text, reasoning, toolCalls, error }
  }
}

export const others = [openai, aiSdk]
