import { NodeHttpClient } from "@effect/platform-node"
import { over } from "./effectChat.mjs"

export const make = over(NodeHttpClient.layerUndici)
