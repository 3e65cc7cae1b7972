import { FetchHttpClient } from "@effect/platform"
import { over } from "./handWritten.mjs"

export const make = over(FetchHttpClient.layer)
