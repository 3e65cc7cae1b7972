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

const shown = (error: Error): string =>
  `${error.message}\n${error.stack ?? ""}\n${Inspectable.toStringUnknown(error, 0)}\n${
    error.cause instanceof Error ? shown(error.cause) : Inspectable.toStringUnknown(error.cause, 0)
  }`

/** The error itself where it shows no secret, else its name and message without. */
export const scrubCause = (cause: unknown, secrets: ReadonlyArray<string>): unknown => {
  const text = cause instanceof Error ? shown(cause) : Inspectable.toStringUnknown(cause, 0)
  const clean = scrub(text, secrets)
  if (clean === text) return cause
  return cause instanceof Error ? new Error(`${cause.name}: ${scrub(cause.message, secrets)}`) : clean
}
