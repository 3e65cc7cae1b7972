// How the peers on Effect read an answer.
import { Chunk, Effect, Stream } from "effect"

/**
 * Tells every text of an answer, and gives the number of its characters.
 *
 * @template E
 * @param {Stream.Stream<string, E>} answer
 * @param {(text: string) => void} onText
 * @returns {Effect.Effect<number, E>}
 */
export const read = (answer, onText) =>
  Effect.suspend(() => {
    let length = 0
    const each = (/** @type {string} */ text) => {
      length += text.length
      onText(text)
    }
    return Effect.map(
      Stream.runForEachChunk(answer, (texts) => Effect.sync(() => Chunk.forEach(texts, each))),
      () => length
    )
  })
