import { over } from "./manager.mjs"

export const make = over({ limits: true, fallback: true })
