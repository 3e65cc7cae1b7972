/**
 * A manager behind an HTTP server of `@effect/platform`, as docs/bot.md shows it.
 */
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { ChatEvent, ChatManager, HistoryStore } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import { createServer } from "node:http"

const text = "one two three four five six seven eight nine ten"

const Loopback = NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })

const Model = LocalServer.layer({ tokenDelay: "30 millis", answer: () => text }).pipe(Layer.provide(Loopback))

const answer = Effect.gen(function*() {
  const { user = "" } = yield* HttpRouter.params
  const request = yield* HttpServerRequest.HttpServerRequest
  const manager = yield* ChatManager.ChatManager
  const chat = yield* manager.getChat(user)
  const turnId = yield* chat.start(yield* request.text)
  const deltas = Stream.map(chat.attach(turnId), ({ event }) => ChatEvent.isTextDelta(event) ? event.text : "")
  return HttpServerResponse.stream(Stream.encodeText(deltas))
})

const router = HttpRouter.empty.pipe(HttpRouter.post("/chat/:user", answer))

/** The server, which ends before its manager. Its address is set once it listens. */
const serve = (url: string, address: Deferred.Deferred<string>) =>
  HttpServer.serve(router).pipe(
    Layer.provideMerge(
      Layer.effectDiscard(HttpServer.addressFormattedWith((formatted) => Deferred.succeed(address, formatted)))
    ),
    Layer.provide(ChatManager.layer({ config: { baseUrl: url, model: "m", systemPrompt: "" }, grace: "10 seconds" })),
    Layer.provide(NodeHttpClient.layer),
    Layer.provide(Loopback)
  )

describe("A manager behind an HTTP server", () => {
  it.scopedLive("sends and stores the answers that run when the server shuts down", () =>
    Effect.gen(function*() {
      const { url } = yield* LocalServer.LocalServer
      const address = yield* Deferred.make<string>()
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(serve(url, address), scope)
      const origin = yield* Deferred.await(address)
      const response = yield* Effect.promise((signal) =>
        fetch(`${origin}/chat/ada`, { method: "POST", body: "Hi", signal })
      )
      const arrived = yield* Deferred.make<void>()
      const body = yield* Effect.fork(
        Stream.fromReadableStream({
          evaluate: () => response.body ?? new ReadableStream<Uint8Array>(),
          onError: (cause) => cause
        }).pipe(
          Stream.decodeText(),
          Stream.tap(() => Deferred.succeed(arrived, undefined)),
          Stream.runCollect
        )
      )
      yield* Deferred.await(arrived)

      yield* Scope.close(scope, Exit.void)

      assert.strictEqual(Chunk.join(yield* Fiber.join(body), ""), text)
      const store = yield* HistoryStore.HistoryStore
      const stored = Option.getOrThrow(yield* store.load("ada"))
      assert.deepStrictEqual(stored.messages.map(({ content }) => content), ["Hi", text])
    }).pipe(Effect.provide(Layer.merge(Model, HistoryStore.layerMemory))))
})
