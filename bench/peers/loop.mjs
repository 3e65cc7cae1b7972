// The measure of all others: a loop by hand over `fetch`, `TextDecoder`, `indexOf` and `JSON.parse`. It knows nothing
// of errors, retries, timeouts, cut answers or line endings.

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
    const response = await post(baseUrl, true)
    const reader = response.body.getReader()
    const decoder = new TextDecoder()
    let buffer = ""
    let text = ""
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return text.length
      buffer += decoder.decode(value, { stream: true })
      let begin = 0
      for (let end = buffer.indexOf("\n\n"); end !== -1; end = buffer.indexOf("\n\n", begin)) {
        const line = buffer.slice(begin, end)
        begin = end + 2
        if (!line.startsWith("data: ") || line === "data: [DONE]") continue
        const delta = JSON.parse(line.slice(6)).choices[0]?.delta.content
        if (!delta) continue
        text += delta
        onText(delta)
      }
      buffer = buffer.slice(begin)
    }
  },
  ask: async () => {
    const response = await post(baseUrl, false)
    return JSON.parse(await response.text()).choices[0].message.content
  }
})
