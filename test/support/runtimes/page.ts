/**
 * The program that runs in a page of a browser: it stores conversations in `localStorage`.
 */
import { KeyValueStore } from "@effect/platform"
import { Effect, Layer } from "effect"
import { HistoryStore } from "effect-chat"
import { load, talk } from "./conversation.ts"

const store = HistoryStore.layerKeyValueStore.pipe(Layer.provide(KeyValueStore.layerStorage(() => localStorage)))

const conversations = {
  talk: (url: string) => Effect.runPromise(talk(url, store)),
  load: (url: string) => Effect.runPromise(load(url, store)),
  /** Runs a turn while the storage is full. Returns the tag of the error and its partial answer. */
  talkWhileFull: (url: string) =>
    Effect.gen(function*() {
      for (let size = 4_000_000; size >= 1; size = Math.floor(size / 2)) fill(size)
      const error = yield* Effect.flip(talk(url, store))
      localStorage.clear()
      return [error._tag, "partial" in error ? error.partial?.text : undefined] as const
    }).pipe(Effect.runPromise)
}

const fill = (size: number): void => {
  try {
    for (let n = 0; n < 10; n++) localStorage.setItem(`full-${size}-${n}`, "x".repeat(size))
  } catch {
    // The storage is full for this size.
  }
}

export type Page = typeof conversations

Object.assign(globalThis, { conversations })
