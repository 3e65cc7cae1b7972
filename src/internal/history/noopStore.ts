/**
 * A history store that stores nothing: writes succeed, and no conversation is found.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Service } from "../../StoredConversation.ts"
import { notStored } from "./errors.ts"

const accept = ({ expectedVersion }: { readonly expectedVersion: number }): Effect.Effect<number> =>
  Effect.succeed(expectedVersion + 1)

export const store: Service = {
  isShared: false,
  load: () => Effect.succeedNone,
  loadTail: () => Effect.succeedNone,
  findTurn: () => Effect.succeed(Option.none()),
  version: () => Effect.succeed({ incarnation: "", version: 0 }),
  commit: ({ expected }) => Effect.succeed({ incarnation: "", version: expected.version + 1 }),
  append: accept,
  setSystemPrompt: accept,
  setSummary: accept,
  clear: accept,
  copy: (from) => Effect.fail(notStored(from)),
  conversations: () => Effect.succeed([]),
  remove: () => Effect.succeed(false),
  list: Stream.empty
}
