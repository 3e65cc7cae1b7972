// effect-chat: `chatStream` in a manager, over services of several kinds. The answer has an event a read, and comes from
// this process: the rest of a request costs the same for all.
import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer, ManagedRuntime, Stream } from "effect"
import { ChatCompletions, ChatManager, Fallback, Limits, Tool, ToolSet } from "../../dist/index.js"
import { read } from "./reading.mjs"

const encoder = new TextEncoder()

/** @param {number} n */
const eventOf = (n) => {
  const choices = [{ index: 0, delta: { content: `w${n} ` }, finish_reason: null }]
  const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "m", choices }
  return encoder.encode(`data: ${JSON.stringify(chunk)}\n\n`)
}

const end = encoder.encode(
  `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n`
)

/** A `fetch` whose every answer has so many tokens. @param {number} count */
const answering = (count) => async () => {
  let n = 0
  const pull = (/** @type {ReadableStreamDefaultController<Uint8Array>} */ controller) => {
    if (n < count) return controller.enqueue(eventOf(n++))
    controller.enqueue(end)
    controller.close()
  }
  return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }), {
    headers: { "content-type": "text/event-stream" }
  })
}

/**
 * A service as a program writes it: its streams are not the library's, and it knows no signal.
 *
 * @param {ChatCompletions.Service} service
 * @returns {ChatCompletions.Service}
 */
const handWritten = (service) => ({
  complete: service.complete,
  stream: ({ config, messages, options }) => Stream.suspend(() => service.stream({ config, messages, options }))
})

/**
 * @param {{
 *   readonly limits?: boolean,
 *   readonly fallback?: boolean,
 *   readonly handWritten?: boolean,
 *   readonly tools?: boolean
 * }} kind
 * @returns {import("./peer.d.ts").Make}
 */
export const over = (kind) => async (baseUrl) => {
  const count = Number(/(\d+)\/v1$/.exec(baseUrl)?.[1])
  const options = {
    config: { baseUrl, apiKey: "none", model: "m" },
    limits: kind.limits
      ? Limits.make({ concurrency: 50, requestsPerMinute: 100_000, tokensPerMinute: 1e9 })
      : undefined,
    fallback: kind.fallback ? Fallback.make({ configs: [{ baseUrl }] }) : undefined
  }
  const manager = Effect.flatMap(
    ChatCompletions.make,
    (service) => ChatManager.fromCompletions(kind.handWritten ? handWritten(service) : service, options)
  )
  const runtime = ManagedRuntime.make(
    Layer.scoped(ChatManager.ChatManager, manager).pipe(
      Layer.provide(FetchHttpClient.layer),
      Layer.provide(Layer.succeed(FetchHttpClient.Fetch, answering(count)))
    )
  )
  const chat = await runtime.runPromise(Effect.flatMap(ChatManager.ChatManager, ({ getChat }) => getChat("x")))
  const time = Tool.make({ name: "time", parameters: {}, handler: () => Effect.succeed("12:00") })
  const turn = kind.tools ? { toolSet: await runtime.runPromise(ToolSet.make([time])) } : {}
  return {
    stream: (onText) => runtime.runPromise(Effect.zipLeft(read(chat.chatStream("Hi", turn), onText), chat.clearHistory))
  }
}
