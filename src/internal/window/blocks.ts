/**
 * Texts in blocks, for functions whose time grows faster than what they are given.
 */

/** The longest block, in characters. */
const blockSize = 1000

/** The sum of a function over a text's blocks, which end before a space where there is one in the block's second half. */
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
