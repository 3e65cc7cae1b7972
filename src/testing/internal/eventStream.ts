/**
 * The bytes of the streams of a `LocalServer`.
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Events } from "./completion.ts"

export interface Options {
  readonly events: Events
  readonly tokens: ReadonlyArray<string>
  /** The wait before each token. */
  readonly delay: Duration.Duration
  /** How the stream ends: with the last events, without them, or never. */
  readonly ending: "tail" | "silence" | "nothing"
  readonly stop: Stop
}

/** Whether the server has stopped, and a wait for it. A stream must end then, because the server waits for its streams. */
export interface Stop {
  readonly isDone: () => boolean
  readonly wait: Effect.Effect<void>
}

/** About 14 kB of events, a little less than Node's buffer for writes. */
const tokensPerWrite = 64

/**
 * The bytes of a streamed answer. With a delay, each token is one write. Without a delay, a write has as many tokens as fit
 * into a buffer. Each write waits until the one before was taken.
 */
export const make = (options: Options): Stream.Stream<Uint8Array> =>
  Stream.fromPull(Effect.sync(() => pull(options, Duration.toMillis(options.delay) === 0)))

const pull = (
  { delay, ending, events, stop, tokens }: Options,
  atOnce: boolean
): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> => {
  const encoder = new TextEncoder()
  const end = Effect.fail(Option.none<never>())
  const send = (text: string) => Effect.succeed(Chunk.of(encoder.encode(text)))
  // Only a long delay ends early when the server stops: a race for every token would cost more than the token.
  const wait = Duration.toMillis(delay) > 1000 ? Effect.raceFirst(Effect.sleep(delay), stop.wait) : Effect.sleep(delay)
  const count = atOnce ? tokensPerWrite : 1
  let sent = 0
  let state: "head" | "tokens" | "end" = "head"
  const nextTokens = (): string => {
    const text = tokens.slice(sent, sent + count).map(events.token).join("")
    sent += count
    if (sent < tokens.length) return text
    state = "end"
    return ending === "tail" ? text + events.tail : text
  }
  return Effect.suspend(() => {
    if (stop.isDone()) return end
    switch (state) {
      case "head":
        state = "tokens"
        return send(atOnce ? events.head + nextTokens() : events.head)
      case "tokens":
        return Effect.flatMap(tokens.length > 0 ? wait : Effect.void, () => send(nextTokens()))
      case "end":
        return ending === "silence" ? Effect.zipRight(stop.wait, end) : end
    }
  })
}

/** Sends the headers and then nothing. An empty write makes the server flush the headers. */
export const silent = (stop: Stop): Stream.Stream<Uint8Array> =>
  Stream.concat(Stream.succeed(new Uint8Array(0)), Stream.execute(stop.wait))
