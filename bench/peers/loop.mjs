// The measure of all others: a loop by hand over `fetch`, without retries and timeouts.
import { decoding } from "./decoding.mjs"

/** @param {string} baseUrl @param {boolean} stream */
const post = (baseUrl, stream) =>
  fetch(`${baseUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer none" },
    body: JSON.stringify({ model: "m", stream, messages: [{ role: "user", content: "Hi" }] })
  })

/** @type {import("./peer.d.ts").Make} */
export const make = async (baseUrl) => ({
  stream: async (onText) => {
    let answer = ""
    const response = await post(baseUrl, true)
    const reader = response.body.getReader()
    const decode = decoding((text) => {
      answer += text
      onText(text)
    })
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return answer.length
      decode(value)
    }
  },
  ask: async () => {
    const response = await post(baseUrl, false)
    return JSON.parse(await response.text()).choices[0].message.content
  }
})
