import { over } from "./manager.mjs"

export const make = over({ tools: true })
