/** The sentence that may be shown to any user, for each error by its tag. */
export const publicSentences = {
  AuthenticationError: "The chat service is not set up correctly.",
  PermissionError: "The chat service is not allowed to do this.",
  NotFoundError: "The model is not available.",
  InvalidRequestError: "The request could not be processed.",
  ContextLengthError: "The conversation is too long.",
  ContentFilterError: "The request was refused by the content filter.",
  RateLimitError: "There are too many requests right now. Try again later.",
  QuotaError: "The chat service has reached its usage limit.",
  ServerError: "The chat service failed. Try again later.",
  TransportError: "The chat service could not be reached. Try again later.",
  TimeoutError: "The answer took too long. Try again later.",
  TruncatedError: "The answer was cut off. Try again.",
  MalformedResponseError: "The chat service sent an invalid answer.",
  HistoryStoreError: "The conversation could not be loaded or saved. Try again later.",
  ConflictError: "The conversation was changed elsewhere. Try again.",
  BusyError: "The conversation is busy with another message.",
  ToolError: "A tool that the answer needs failed."
}

/** The sentence for every other error. */
export const otherSentence = "Something went wrong. Try again later."
