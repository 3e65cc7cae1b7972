import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Events } from "./completion.ts"

export interface Options {
  readonly events: Events
  readonly pieces: ReadonlyArray<string>
  /** The wait before each piece. */
  readonly delay: Duration.Duration
  /** How it ends: completely, with silence, or without the last events. */
  readonly ending: "tail" | "silence" | "nothing"
  readonly stop: Stop
}

/** The end of the server, which also ends its streams. Otherwise the server would wait for them forever. */
export interface Stop {
  readonly isDone: () => boolean
  readonly wait: Effect.Effect<void>
}

/** About 14 kB of events, a little less than Node buffers before it asks for a pause. */
const batch = 64

/**
 * The bytes of a streamed answer. Without a delay, one write carries as many pieces as fill a buffer and costs one
 * Effect; with a delay every piece is a write of its own. The next write is made when the last one was taken.
 */
export const make = (options: Options): Stream.Stream<Uint8Array> =>
  Stream.fromPull(Effect.sync(() => pull(options, Duration.toMillis(options.delay) === 0)))

const pull = (
  { delay, ending, events, pieces, stop }: Options,
  atOnce: boolean
): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> => {
  const encoder = new TextEncoder()
  const end = Effect.fail(Option.none<never>())
  const send = (text: string) => Effect.succeed(Chunk.of(encoder.encode(text)))
  // A race for every token would cost more than the token; a short wait sees the stop when it is over.
  const wait = Duration.toMillis(delay) > 1000 ? Effect.raceFirst(Effect.sleep(delay), stop.wait) : Effect.sleep(delay)
  const size = atOnce ? batch : 1
  let sent = 0
  let state: "head" | "pieces" | "end" = "head"
  const take = (): string => {
    const text = pieces.slice(sent, sent + size).map(events.piece).join("")
    sent += size
    if (sent < pieces.length) return text
    state = "end"
    return ending === "tail" ? text + events.tail : text
  }
  return Effect.suspend(() => {
    if (stop.isDone()) return end
    switch (state) {
      case "head":
        state = "pieces"
        return send(atOnce ? events.head + take() : events.head)
      case "pieces":
        return Effect.flatMap(pieces.length > 0 ? wait : Effect.void, () => send(take()))
      case "end":
        return ending === "silence" ? Effect.zipRight(stop.wait, end) : end
    }
  })
}

/** Sends the headers and then nothing. An empty write makes the server flush the headers. */
export const silent = (stop: Stop): Stream.Stream<Uint8Array> =>
  Stream.concat(Stream.succeed(new Uint8Array(0)), Stream.execute(stop.wait))
