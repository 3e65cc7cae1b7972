/**
 * Makes the ids of tool calls unique within a request, in the form that the server accepts.
 */
import type { Wire } from "../../Provider.ts"

type Form = Wire["toolCallIds"]

const forms: Record<Form, RegExp> = {
  any: /[^]/,
  openai: /^[^]{1,40}$/,
  anthropic: /^[\w-]{1,64}$/,
  mistral: /^[A-Za-z0-9]{9}$/
}

/** Nine letters and digits that depend only on the text: the same history is sent with the same ids. */
const digest = (text: string): string => {
  let high = 7
  let low = 31
  for (let index = 0; index < text.length; index++) {
    high = Math.imul(high ^ text.charCodeAt(index), 0x5bd1e995)
    low = Math.imul(low + text.charCodeAt(index), 0x2c1b3c6d) ^ (low >>> 13)
  }
  return (((high >>> 0) * 2 ** 16 + (low & 0xffff)) % 36 ** 9).toString(36).padStart(9, "0")
}

const derive = (form: Form, id: string, count: number): string => {
  if (form === "any") return id === "" ? `call_${count}` : `${id}_${count}`
  return `${form === "mistral" ? "" : "call_"}${digest(`${id}\n${count}`)}`
}

/** Returns a unique id for each call of a request: its own id if it has the right form and is not in use. */
export const make = (form: Form): (id: string) => string => {
  const used = new Set<string>()
  const counts = new Map<string, number>()
  return (id) => {
    let unique = id
    while (used.has(unique) || !forms[form].test(unique)) {
      const count = (counts.get(id) ?? 0) + 1
      counts.set(id, count)
      unique = derive(form, id, count)
    }
    used.add(unique)
    return unique
  }
}
