import { NodeHttpClient } from "@effect/platform-node"
import { over } from "./handWritten.mjs"

export const make = over(NodeHttpClient.layerUndici)
