/**
 * Splits texts into blocks, for functions that take more than linear time.
 */

/** The maximum length of a block, in characters. */
const blockSize = 1000

/** Adds up a function over the blocks of a text. A block ends before a space if its second half has one. */
export const inBlocks = (f: (block: string) => number): (text: string) => number => (text) => {
  if (text.length <= blockSize) return text === "" ? 0 : f(text)
  let sum = 0
  for (let from = 0; from < text.length;) {
    const to = endOf(text, from)
    sum += f(text.slice(from, to))
    from = to
  }
  return sum
}

const endOf = (text: string, from: number): number => {
  const limit = from + blockSize
  if (limit >= text.length) return text.length
  const middle = from + blockSize / 2
  const space = text.slice(middle, limit).lastIndexOf(" ")
  return space === -1 ? limit : middle + space
}
