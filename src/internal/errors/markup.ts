/**
 * Reads the message of a page of HTML or XML, as proxies send them for errors.
 */

const entities = new Map([["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", "\""], ["#39", "'"], ["nbsp", " "]])

const plainText = (html: string): string =>
  html.replace(/<[^<>]*>/g, " ").replace(/&([\w#]{1,8});/g, (entity, name: string) => entities.get(name) ?? entity)
    .replace(/\s+/g, " ").trim()

/** At most `length` characters of the text, cut between words, because half a word could be a part of a secret. */
const cutBetweenWords = (text: string, length: number): string =>
  text.length <= length ? text : text.slice(0, length).replace(/[^\s<>]*$/, "")

/** The text between the first opening tag of an element and its end. Undefined if it is empty. */
const elementText = (html: string, lower: string, name: string): string | undefined => {
  const start = new RegExp(`<${name}(?:\\s[^<>]*)?>`).exec(lower)
  if (start === null) return undefined
  const from = start.index + start[0].length
  const to = lower.indexOf(`</${name}>`, from)
  const text = to === -1 ? "" : plainText(html.slice(from, to))
  return text === "" ? undefined : text
}

/** The page without its scripts and styles. */
const withoutCode = (html: string, lower: string): string => {
  let rest = ""
  let at = 0
  for (const { 1: name, index } of lower.matchAll(/<(script|style)\b/g)) {
    if (index < at) continue
    rest += `${html.slice(at, index)} `
    const end = lower.indexOf(`</${name}>`, index)
    // Without an end, the rest of the page is code.
    at = end === -1 ? html.length : end
    if (end === -1) break
  }
  return rest + html.slice(at)
}

/** The text with ASCII letters in lower case, which keeps all indexes. */
const lowerCase = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/**
 * The message of a page: the `message` of XML, the title, the first heading, or else all of its text. Undefined if the
 * text is not markup.
 */
export const textOfPage = (page: string, contentType: string): string | undefined => {
  const isMarkup = /\bhtml\b/i.test(contentType) ||
    /^(?:<!--[^]{0,2000}?-->\s*)?<(?:!doctype|\?xml|\/?[a-z]+[\s>])/i.test(page)
  if (!isMarkup) return undefined
  // The start of a page has its title.
  const html = cutBetweenWords(page, 20_000)
  const lower = lowerCase(html)
  for (const name of ["message", "title", "h1"]) {
    const text = elementText(html, lower, name)
    if (text !== undefined) return text
  }
  return cutBetweenWords(plainText(withoutCode(html, lower)), 500)
}
