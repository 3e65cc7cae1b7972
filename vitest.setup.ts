import { addEqualityTesters } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"
import { afterEach } from "vitest"

addEqualityTesters()

// Tests under the TestClock never let the event loop go round, and a worker that does not hear from vitest for a minute
// fails. It hears between two immediates.
afterEach(async () => {
  await setImmediate()
  await setImmediate()
})
