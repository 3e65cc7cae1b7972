// What the clients by hand make of bytes, with `TextDecoder`, `indexOf` and `JSON.parse`. It knows nothing of errors, cut
// answers or line endings.

/**
 * Tells the texts of an answer whose bytes are given piece by piece.
 *
 * @param {(text: string) => void} onText
 * @returns {(bytes: Uint8Array) => void}
 */
export const decoding = (onText) => {
  const decoder = new TextDecoder()
  let buffer = ""
  return (bytes) => {
    buffer += decoder.decode(bytes, { stream: true })
    let begin = 0
    for (let end = buffer.indexOf("\n\n"); end !== -1; end = buffer.indexOf("\n\n", begin)) {
      const line = buffer.slice(begin, end)
      begin = end + 2
      if (!line.startsWith("data: ") || line === "data: [DONE]") continue
      const delta = JSON.parse(line.slice(6)).choices[0]?.delta.content
      if (delta) onText(delta)
    }
    buffer = buffer.slice(begin)
  }
}
