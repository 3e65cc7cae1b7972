/**
 * Keeps secrets out of what is shown: servers and sockets repeat what they were sent.
 */
import * as Inspectable from "effect/Inspectable"

/** The text with every secret in it replaced. */
export const scrub = (text: string, secrets: ReadonlyArray<string>): string => {
  // A shorter one is no secret, and replacing it would garble the text around it.
  const shortest = 4
  let clean = text
  for (const secret of secrets) {
    if (secret.length >= shortest) clean = clean.replaceAll(secret, "<redacted>")
  }
  return clean
}

/** All that a cause can show of itself. */
const shown = (cause: unknown): string => {
  const text = Inspectable.toStringUnknown(cause, 0)
  return cause instanceof Error ? `${cause.message}\n${cause.stack ?? ""}\n${text}\n${shown(cause.cause)}` : text
}

/** The error itself where it shows no secret, else its name and message without. */
export const scrubCause = (cause: unknown, secrets: ReadonlyArray<string>): unknown => {
  const text = shown(cause)
  const clean = scrub(text, secrets)
  if (clean === text) return cause
  return cause instanceof Error ? new Error(`${cause.name}: ${scrub(cause.message, secrets)}`) : clean
}
