import { addEqualityTesters, effect, flakyTest, it, layer, live, prop, scoped, scopedLive } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"
import { afterEach } from "vitest"

addEqualityTesters()

// `layer` replaces the methods of `it`, also for the files that the same worker runs later.
Object.assign(it, { effect, flakyTest, layer, live, prop, scoped, scopedLive })

// Tests under the TestClock never let the event loop go round, and a worker that does not hear from vitest for a minute
// fails. It hears between two immediates.
afterEach(async () => {
  await setImmediate()
  await setImmediate()
})
