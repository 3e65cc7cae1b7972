import { over } from "./manager.mjs"

export const make = over({ handWritten: true })
