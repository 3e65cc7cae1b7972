import { FetchHttpClient } from "@effect/platform"
import { over } from "./bareClient.mjs"

export const make = over(FetchHttpClient.layer)
