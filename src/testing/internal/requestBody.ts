/**
 * Reads the bodies of requests.
 */
import type * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** The text of a request's body. Fails with the error of the body's stream or encoder. */
export const text = (body: HttpBody.HttpBody): Effect.Effect<string, unknown> => {
  switch (body._tag) {
    case "Empty":
      return Effect.succeed("")
    case "Uint8Array":
      return Effect.succeed(new TextDecoder().decode(body.body))
    case "Raw":
      return Effect.succeed(rawText(body.body))
    case "FormData":
      return Effect.tryPromise({ try: () => new Response(body.formData).text(), catch: (cause) => cause })
    case "Stream": {
      const decoder = new TextDecoder()
      return Stream.runFold(body.stream, "", (text, bytes) => text + decoder.decode(bytes, { stream: true })).pipe(
        Effect.map((text) => text + decoder.decode())
      )
    }
  }
}

const rawText = (body: unknown): string => {
  if (body instanceof Uint8Array) return new TextDecoder().decode(body)
  return typeof body === "string" || body instanceof URLSearchParams ? body.toString() : ""
}

/** The parsed JSON. Undefined if the text is not JSON. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
