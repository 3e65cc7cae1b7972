import { over } from "./manager.mjs"

export const make = over({ fallback: true })
