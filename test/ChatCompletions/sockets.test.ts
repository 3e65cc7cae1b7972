import { FetchHttpClient } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Fiber, Layer, Schedule, type Scope, Stream } from "effect"
import { ChatCompletions, type ChatError } from "effect-chat"
import { type Playback, serve, type Server } from "../support/playback.ts"
import { answer, type Asking, collect, requestOf } from "../support/wire/ask.ts"
import { bytes, completion, done, ends, says } from "../support/wire/say.ts"

const clients = {
  fetch: FetchHttpClient.layer,
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerWithoutAgent.pipe(Layer.provide(NodeHttpClient.makeAgentLayer({ keepAlive: true })))
}

const events = (ending: Playback["ending"], ...texts: ReadonlyArray<string>): Playback => ({
  status: 200,
  headers: { "content-type": "text/event-stream" },
  pieces: texts.map(bytes),
  ending
})

const eventually = (test: () => boolean): Effect.Effect<void> =>
  Effect.sync(test).pipe(
    Effect.filterOrFail((holds) => holds),
    Effect.retry(Schedule.spaced("5 millis").pipe(Schedule.upTo("4 seconds"))),
    Effect.orElseSucceed(() => assert.fail("it never came to be")),
    Effect.asVoid
  )

/** Waits until the client has closed all of its answers. */
const released = (server: Server) => eventually(() => server.requests() > 0 && server.left() >= server.requests())

/**
 * Asserts that four requests, with a pause after each, use one connection. On a busy machine the connection may not be free
 * after a short pause: then this is repeated with a longer pause and a new server.
 */
const onOneConnection = <E, R>(
  respond: Parameters<typeof serve>[0],
  ask: (server: Server) => Effect.Effect<void, E, R>,
  pause = Duration.millis(20)
): Effect.Effect<void, E, Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const server = yield* serve(respond)
    yield* Effect.repeatN(Effect.zipLeft(Effect.suspend(() => ask(server)), Effect.sleep(pause)), 3)
    assert.strictEqual(server.requests(), 4)
    if (server.connections() === 1) return false
    if (Duration.greaterThan(pause, "200 millis")) assert.strictEqual(server.connections(), 1)
    return true
  }).pipe(
    Effect.scoped,
    Effect.flatMap((isRepeated) => isRepeated ? onOneConnection(respond, ask, Duration.times(pause, 4)) : Effect.void)
  )

/**
 * Asserts that a time limit is exceeded while the server has the request. On a busy machine, a short limit may be exceeded
 * before the request arrives: then this is repeated with a longer limit.
 */
const timesOut = (
  server: Server,
  phase: string,
  config: (limit: Duration.Duration) => Asking["config"],
  limit = Duration.millis(50)
): Effect.Effect<ChatError.ChatError, never, ChatCompletions.ChatCompletions> =>
  Effect.gen(function*() {
    const { outcome } = yield* collect({ config: { baseUrl: server.url, ...config(limit) } })
    if (outcome._tag === "Right") return assert.fail("an answer")
    const error = outcome.left
    assert.strictEqual(error._tag === "TimeoutError" ? error.phase : error._tag, phase)
    if (server.requests() === 0) return yield* timesOut(server, phase, config, Duration.times(limit, 4))
    yield* released(server)
    return error
  })

describe("sockets", () => {
  for (const [name, client] of Object.entries(clients)) {
    const layer = ChatCompletions.layer.pipe(Layer.provide(client))

    const live = (title: string, body: Effect.Effect<void, unknown, ChatCompletions.ChatCompletions>) =>
      it.live(title, () => Effect.provide(body, layer))

    const withServer = <A, E, R>(
      respond: Parameters<typeof serve>[0],
      use: (server: Server) => Effect.Effect<A, E, R>
    ): Effect.Effect<void, E, Exclude<R, Scope.Scope>> =>
      serve(respond).pipe(Effect.flatMap(use), Effect.asVoid, Effect.scoped)

    describe(name, () => {
      live(
        "a server that never sends headers exceeds the time to the first token, and its connection is closed",
        withServer(
          () => undefined,
          (server) => timesOut(server, "firstToken", (firstTokenTimeout) => ({ firstTokenTimeout }))
        )
      )

      live(
        "a server that stalls after its headers exceeds the time to the first token, and its connection is closed",
        withServer(
          () => events("stall", ": hold on\n\n"),
          (server) => timesOut(server, "firstToken", (firstTokenTimeout) => ({ firstTokenTimeout }))
        )
      )

      live(
        "a server that stalls within its answer exceeds the idle time, and its connection is closed",
        withServer(() => events("stall", says("a")), (server) =>
          Effect.map(
            timesOut(server, "idle", (idleTimeout) => ({ idleTimeout })),
            (error) => assert.strictEqual(error.partial?.text, "a")
          ))
      )

      live(
        "a server that stalls exceeds the total time, and its connection is closed",
        withServer(
          () => events("stall", says("a")),
          (server) => timesOut(server, "total", (totalTimeout) => ({ totalTimeout }))
        )
      )

      live(
        "a server that stalls within an error body exceeds the time to the first token, and its connection is closed",
        withServer(
          () => ({ status: 503, headers: {}, pieces: [bytes("{\"error\":")], ending: "stall" }),
          (server) => timesOut(server, "firstToken", (firstTokenTimeout) => ({ firstTokenTimeout }))
        )
      )

      live(
        "a consumer that stops reading closes the connection",
        withServer(() => events("stall", says("a"), says("b")), (server) =>
          Effect.gen(function*() {
            const completions = yield* ChatCompletions.ChatCompletions
            const first = yield* completions.stream(requestOf({ config: { baseUrl: server.url } })).pipe(
              Stream.take(1),
              Stream.runCollect
            )
            assert.strictEqual(Chunk.size(first), 1)
            yield* released(server)
          }))
      )

      live(
        "an interrupted fiber closes the connection, before the headers and within a document",
        Effect.forEach(
          [undefined, { status: 200, headers: {}, pieces: [bytes("{\"id\":")], ending: "stall" }] as const,
          (
            respond
          ) =>
            withServer(() => respond, (server) =>
              Effect.gen(function*() {
                const completions = yield* ChatCompletions.ChatCompletions
                const fiber = yield* Effect.fork(completions.complete(requestOf({ config: { baseUrl: server.url } })))
                yield* eventually(() => server.requests() === 1)
                yield* Effect.sleep("20 millis")
                yield* Fiber.interrupt(fiber)
                yield* released(server)
              }))
        ).pipe(Effect.asVoid)
      )

      live(
        "a reset within the answer is a TransportError with the part that arrived",
        withServer(
          () => events("reset", says("a"), says("b")),
          (server) =>
            Effect.map(collect({ config: { baseUrl: server.url } }), ({ outcome }) => {
              assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "TransportError")
            })
        )
      )

      live(
        "an answer that is reset after its finish reason is complete",
        withServer(
          () => events("reset", says("a"), ends()),
          (server) =>
            Effect.map(collect({ config: { baseUrl: server.url } }), (received) => {
              assert.strictEqual(answer({ ...received, requests: [], open: 0 }).text, "a")
            })
        )
      )

      live(
        "the connection of a stream is reused",
        // The rest of the body is read in the background.
        onOneConnection(
          () => events("end", says("a"), ends(), done, ": the end\n\n"),
          (server) =>
            Effect.map(collect({ config: { baseUrl: server.url } }), ({ outcome }) => {
              assert.strictEqual(outcome._tag, "Right")
            })
        )
      )

      live(
        "the connection of a document is reused",
        // A client may regard its connection as busy until the answer was emitted.
        onOneConnection(
          () => ({ status: 200, headers: {}, pieces: [bytes(JSON.stringify(completion({ content: "a" })))] }),
          (server) =>
            Effect.gen(function*() {
              const completions = yield* ChatCompletions.ChatCompletions
              assert.strictEqual(
                (yield* completions.complete(requestOf({ config: { baseUrl: server.url } }))).text,
                "a"
              )
            })
        )
      )

      live(
        "the connection of an error is reused for the retry",
        withServer(
          (_, count) =>
            count === 0
              ? { status: 503, headers: {}, pieces: [bytes("{\"error\":\"busy\"}")] }
              : { status: 200, headers: {}, pieces: [bytes(JSON.stringify(completion({ content: "a" })))] },
          (server) =>
            Effect.gen(function*() {
              const completions = yield* ChatCompletions.ChatCompletions
              const config = { baseUrl: server.url, maxRetries: 1, retryBaseDelay: "100 millis" } as const
              assert.strictEqual((yield* completions.complete(requestOf({ config }))).text, "a")
              assert.strictEqual(server.connections(), 1)
            })
        )
      )

      live(
        "a server that does not close after [DONE] delays nothing, and its connection is closed",
        withServer(() => events("stall", says("a"), ends(), done), (server) =>
          Effect.gen(function*() {
            const received = yield* Effect.timeout(collect({ config: { baseUrl: server.url } }), "500 millis")
            assert.strictEqual(received.outcome._tag, "Right")
            assert.strictEqual(server.left(), 0)
            yield* released(server)
          }))
      )
    })
  }
})
