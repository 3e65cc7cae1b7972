import { FetchHttpClient } from "@effect/platform"
import { over } from "./effectChat.mjs"

export const make = over(FetchHttpClient.layer)
