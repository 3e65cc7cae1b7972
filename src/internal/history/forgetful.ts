/**
 * The history store of conversations that are kept nowhere but in memory: it takes every write and has nothing to read.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Service, Target } from "../../HistoryStore.ts"

const accept = ({ expectedVersion }: Target): Effect.Effect<number> => Effect.succeed(expectedVersion + 1)

export const store: Service = {
  load: () => Effect.succeedNone,
  append: accept,
  setSystemPrompt: accept,
  setSummary: accept,
  clear: accept,
  remove: () => Effect.succeed(false),
  list: Stream.empty
}
