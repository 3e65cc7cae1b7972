/**
 * Converts errors of this library to errors of `@effect/ai`. The original error is the `cause`.
 */
import * as AiError from "@effect/ai/AiError"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import type { LLMConfig } from "../../LLMConfig.ts"

/** The `module` of the errors. */
export const module = "AiLanguageModel"

/** The server and the method of a call. */
export interface Call {
  readonly method: "generateText" | "streamText"
  readonly config: Pick<LLMConfig, "baseUrl">
}

export const toAiError = ({ config, method }: Call) => (cause: ChatError): AiError.AiError => {
  const description = cause.message
  const common = { module, method, description, cause }
  switch (cause._tag) {
    case "TransportError":
      return new AiError.HttpRequestError({ ...common, reason: "Transport", request: requestTo(config) })
    case "MalformedResponseError":
    case "TruncatedError":
      return new AiError.MalformedOutput(common)
    case "InvalidRequestError":
      if (cause.status === undefined) return new AiError.MalformedInput(common)
  }
  if (cause.status === undefined || cause.status < 400) return new AiError.UnknownError(common)
  const details = {
    ...common,
    reason: "StatusCode" as const,
    request: requestTo(config),
    response: { status: cause.status, headers: {} },
    ...(cause.body === undefined ? {} : { body: cause.body })
  }
  // The Schema of this error has no `cause`, so validation would remove it.
  return new AiError.HttpResponseError(details, { disableValidation: true })
}

const requestTo = ({ baseUrl }: Call["config"]): typeof AiError.HttpRequestDetails.Type => ({
  method: "POST",
  url: `${baseUrl}/chat/completions`,
  urlParams: [],
  hash: Option.none(),
  headers: {}
})
