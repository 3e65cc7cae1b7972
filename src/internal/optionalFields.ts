/**
 * The members of a request that a server may refuse.
 */

/** By the names of the settings and options. */
export const optionalFields = [
  "temperature",
  "topP",
  "maxTokens",
  "frequencyPenalty",
  "presencePenalty",
  "seed",
  "stop",
  "user",
  "parallelToolCalls"
] as const
