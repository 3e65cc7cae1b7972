import { NodeHttpClient } from "@effect/platform-node"
import { over } from "./bareClient.mjs"

export const make = over(NodeHttpClient.layerUndici)
