/**
 * The model of `effectAi.mjs`: what the tests would have a provider return, a server sends, and this library reads.
 *
 * The tests compare whole lists of parts. So those parts that a real provider adds, and their metadata, are left out.
 */
import { IdGenerator, LanguageModel, type Response } from "@effect/ai"
import { Effect, Option, Stream } from "effect"
import { AiLanguageModel } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"

interface Scripts {
  readonly generateText?: ReadonlyArray<Response.PartEncoded>
  readonly streamText?: ReadonlyArray<Response.StreamPartEncoded>
}

const textOf = (parts: ReadonlyArray<Response.AllPartsEncoded>): string =>
  parts.map((part) => part.type === "text" ? part.text : "").join("")

const callsOf = (parts: ReadonlyArray<Response.AllPartsEncoded>) =>
  parts.flatMap((part, index) =>
    part.type === "tool-call"
      ? [{
        index,
        id: part.id,
        type: "function",
        function: { name: part.name, arguments: JSON.stringify(part.params) }
      }]
      : []
  )

const respond = ({ generateText = [], streamText = [] }: Scripts): ScriptedHttpClient.Script => (request) => {
  if (!request.text.includes("\"stream\":true")) {
    const message = { content: textOf(generateText), tool_calls: callsOf(generateText) }
    return ScriptedHttpClient.json({ choices: [{ message, finish_reason: "stop" }] })
  }
  return ScriptedHttpClient.sse([
    { choices: [{ delta: { content: textOf(streamText), tool_calls: callsOf(streamText) } }] },
    { choices: [{ delta: {}, finish_reason: "stop" }] },
    "[DONE]"
  ])
}

const isOfTests = ({ type }: { readonly type: string }): boolean =>
  type === "text" || /^tool-(?:call|result)$/.test(type)

const plain = <Part extends { readonly type: string }>(part: Part): Option.Option<Part> =>
  isOfTests(part) ? Option.some({ ...part, metadata: {} }) : Option.none()

const make = (scripts: Scripts): Effect.Effect<LanguageModel.Service> =>
  Effect.gen(function*() {
    const model = yield* AiLanguageModel.make({ baseUrl: "http://scripted.test/v1", model: "m", maxRetries: 0 }).pipe(
      Effect.orDie,
      Effect.provide(ScriptedHttpClient.layer(respond(scripts)))
    )
    return {
      ...model,
      generateText: (options) =>
        Effect.map(
          model.generateText(options),
          (response) =>
            new LanguageModel.GenerateTextResponse(response.content.flatMap((part) => Option.toArray(plain(part))))
        ),
      streamText: (options) => Stream.filterMap(model.streamText(options), plain)
    }
  })

/** Provides the model of some scripts. The tests use both forms. */
export const withLanguageModel = (...args: ReadonlyArray<unknown>) => {
  const provide = (scripts: Scripts) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.provideServiceEffect(
      effect,
      LanguageModel.LanguageModel,
      // A model takes its ids where it is made.
      Effect.provideService(make(scripts), IdGenerator.IdGenerator, IdGenerator.defaultIdGenerator)
    )
  const [first, second] = args
  return Effect.isEffect(first) ? provide(second as Scripts)(first) : provide(first as Scripts)
}
