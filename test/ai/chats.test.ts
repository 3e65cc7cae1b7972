import { Chat, LanguageModel, Prompt, Tool, Toolkit } from "@effect/ai"
import * as Persistence from "@effect/experimental/Persistence"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Ref, Schema, Stream } from "effect"
import { Provider } from "effect-chat"
import { AiLanguageModel } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"
import { parts, withModel } from "../support/ai.ts"
import { answer, echo, requests, sent } from "../support/chats.ts"

/** The members of a message in a request, which may be absent. */
const messagesOf = (request: ScriptedHttpClient.CapturedRequest | undefined) =>
  Schema.decodeUnknownSync(
    Schema.Struct({ messages: Schema.Array(Schema.Record({ key: Schema.String, value: Schema.Any })) })
  )(
    request?.body
  ).messages

const Weather = Tool.make("Weather", {
  parameters: { city: Schema.String, day: Schema.Date, hours: Schema.NumberFromString },
  success: Schema.Struct({ sky: Schema.String })
})
const toolkit = Toolkit.make(Weather)
const handlers = toolkit.toLayer({ Weather: ({ city }) => Effect.succeed({ sky: `rain in ${city}` }) })
const day = "2026-01-02T00:00:00.000Z"
const call = {
  id: "call_1",
  type: "function",
  function: { name: "Weather", arguments: JSON.stringify({ city: "Paris", day, hours: "12" }) }
}

/** An answer with signatures in the message and in the call, which the server requires in later requests. */
const signed = ScriptedHttpClient.json({
  choices: [{
    finish_reason: "tool_calls",
    message: {
      content: null,
      reasoning: "I must look.",
      reasoning_details: [{ type: "reasoning.text", text: "I must look.", signature: "signed" }],
      tool_calls: [{ ...call, extra_content: { google: { thought_signature: "at the call" } } }]
    }
  }]
})

/** The same answer as a stream. */
const signedStream = ScriptedHttpClient.sse([
  {
    choices: [{
      delta: {
        reasoning: "I must look.",
        reasoning_details: [{ type: "reasoning.text", text: "I must look.", signature: "signed", index: 0 }]
      }
    }]
  },
  {
    choices: [{
      delta: { tool_calls: [{ index: 0, ...call, extra_content: { google: { thought_signature: "at the call" } } }] }
    }]
  },
  { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
  "[DONE]"
])

const assertEchoed = (message: Record<string, unknown> | undefined) => {
  assert.deepNestedInclude(message, {
    "role": "assistant",
    "reasoning_details[0].signature": "signed",
    "tool_calls[0].id": "call_1",
    "tool_calls[0].extra_content.google.thought_signature": "at the call"
  })
}

describe("Chat", () => {
  it.effect("sends the history with each prompt, after answers and streams", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "one" })
      yield* Stream.runDrain(chat.streamText({ prompt: "two" }))
      yield* chat.generateText({ prompt: "three" })

      assert.deepStrictEqual(sent((yield* requests)[2]), [
        "user: one",
        "assistant: re one",
        "user: two",
        "assistant: re two",
        "user: three"
      ])
    }).pipe(withModel(echo())))

  it.effect("#5944: adds calls and results to its history, and sends them as calls and results", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be brief." }])
      yield* chat.generateText({ prompt: "weather?", toolkit })
      const { text } = yield* chat.generateText({ prompt: [], toolkit })

      assert.strictEqual(text, "It rains.")
      const messages = messagesOf((yield* requests)[1])
      assert.deepStrictEqual(messages.map(({ role }) => role), ["system", "user", "assistant", "tool"])
      // The handler received a Date and a number, but the model wrote strings.
      assert.deepNestedPropertyVal(messages[2], "tool_calls[0].function.arguments", call.function.arguments)
      assert.deepInclude(messages[3], { tool_call_id: "call_1", content: "{\"sky\":\"rain in Paris\"}" })
    }).pipe(Effect.provide(handlers), withModel([signed, answer("It rains.")])))

  it.effect("#5944: sends calls that a provider executed with their results", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({
        prompt: [
          { role: "user", content: "search" },
          {
            role: "assistant",
            content: [
              { type: "tool-call", id: "1", name: "search", params: { q: "x" }, providerExecuted: true },
              {
                type: "tool-result",
                id: "1",
                name: "search",
                isFailure: false,
                result: "found",
                providerExecuted: true
              },
              { type: "text", text: "Found." }
            ]
          },
          { role: "user", content: "more" }
        ]
      })
      const messages = messagesOf((yield* requests)[0])
      // As text, because the request offers no tools.
      assert.deepStrictEqual(messages.map(({ role }) => role), ["user", "assistant", "user"])
      assert.strictEqual(messages[1]?.["content"], "Found.\n\nCalled the tool search with {\"q\":\"x\"}")
      assert.strictEqual(messages[2]?.["content"], "The result of the tool search: found\n\nmore")
    }).pipe(withModel([answer("yes")])))

  for (const [kind, first] of [["an answer", signed], ["a stream", signedStream]] as const) {
    it.effect(`sends the required data of ${kind} back to the server, although the history of @effect/ai drops it`, () =>
      Effect.gen(function*() {
        const chat = yield* Chat.empty
        yield* kind === "an answer"
          ? Effect.asVoid(chat.generateText({ prompt: "weather?", toolkit }))
          : Stream.runDrain(chat.streamText({ prompt: "weather?", toolkit }))
        yield* chat.generateText({ prompt: [], toolkit })

        assert.notInclude(yield* chat.exportJson, "signed")
        assertEchoed(messagesOf((yield* requests)[1])[1])
      }).pipe(Effect.provide(handlers), withModel([first, answer("It rains.")])))
  }

  it.effect("sends reasoning back to servers that require it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "weather?", toolkit })
      yield* chat.generateText({ prompt: [], toolkit })
      assert.deepInclude(messagesOf((yield* requests)[1])[1], { reasoning_content: "I must look." })
    }).pipe(
      Effect.provide(handlers),
      withModel([signed, answer("It rains.")], {
        wire: Provider.Wire.make({ reasoningEcho: "reasoning_content" })
      })
    ))

  it.effect("sends its history with generateObject", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.fromPrompt("I am Ada.")
      const { value } = yield* chat.generateObject({ prompt: "Who?", schema: Schema.Struct({ name: Schema.String }) })
      assert.deepStrictEqual(value, { name: "Ada" })
      assert.deepStrictEqual(sent((yield* requests)[0]).slice(-1), ["user: I am Ada.\n\nWho?"])
    }).pipe(withModel([answer("{\"name\":\"Ada\"}")])))

  it.effect("keeps its history if a turn fails", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.fromPrompt("one")
      yield* Effect.flip(chat.generateText({ prompt: "two" }))
      assert.lengthOf((yield* Ref.get(chat.history)).content, 1)
    }).pipe(withModel([ScriptedHttpClient.json({}, { status: 500 })])))
})

describe("a persisted chat", () => {
  const Persisted = Chat.layerPersisted({ storeId: "chats" }).pipe(Layer.provide(Persistence.layerMemory))

  it.effect("continues after it is loaded again, after answers and streams", () =>
    Effect.gen(function*() {
      const persistence = yield* Chat.Persistence
      const chat = yield* persistence.getOrCreate("ada")
      yield* chat.generateText({ prompt: "one" })
      yield* Stream.runDrain(chat.streamText({ prompt: "two" }))

      const again = yield* persistence.get("ada")
      yield* again.generateText({ prompt: "three" })

      assert.deepStrictEqual(sent((yield* requests)[2]), [
        "user: one",
        "assistant: re one",
        "user: two",
        "assistant: re two",
        "user: three"
      ])
    }).pipe(Effect.provide(Persisted), withModel(echo())))

  it.effect("sends the parameters that it stored: the decoded ones, as JSON", () =>
    Effect.gen(function*() {
      const persistence = yield* Chat.Persistence
      const chat = yield* persistence.getOrCreate("ada")
      yield* chat.generateText({ prompt: "weather?", toolkit })

      const again = yield* persistence.get("ada")
      yield* again.generateText({ prompt: [], toolkit })

      assert.deepNestedPropertyVal(
        messagesOf((yield* requests)[1])[1],
        "tool_calls[0].function.arguments",
        JSON.stringify({ city: "Paris", day, hours: 12 })
      )
    }).pipe(Effect.provide([Persisted, handlers]), withModel([signed, answer("It rains.")])))
})

describe("fromResponseParts", () => {
  it.effect("keeps the data that the server requires, through JSON and in another model", () =>
    Effect.gen(function*() {
      const { content } = yield* LanguageModel.generateText({ prompt: "weather?", toolkit })
      const history = AiLanguageModel.fromResponseParts(content)
      const stored = yield* Schema.encode(Prompt.FromJson)(Prompt.merge(Prompt.make("weather?"), history))

      // A new model, as after a restart, remembers nothing.
      const model = yield* AiLanguageModel.make({ baseUrl: "http://scripted.test/v1", model: "m", maxRetries: 0 })
      yield* model.generateText({ prompt: yield* Schema.decode(Prompt.FromJson)(stored), toolkit })

      assertEchoed(messagesOf((yield* requests)[1])[1])
    }).pipe(Effect.provide(handlers), withModel([signed, answer("It rains.")])))

  it.effect("equals the function of @effect/ai for an answer without required data", () =>
    Effect.gen(function*() {
      const content = yield* parts({ prompt: "?" })
      assert.deepStrictEqual(AiLanguageModel.fromResponseParts(content), Prompt.fromResponseParts(content))
    }).pipe(withModel([ScriptedHttpClient.tokens(["a"])])))

  it.effect("does not send the data to another server", () =>
    Effect.gen(function*() {
      const { content } = yield* LanguageModel.generateText({ prompt: "weather?", toolkit })
      const model = yield* AiLanguageModel.make({ baseUrl: "http://other.test/v1", model: "m", maxRetries: 0 })
      yield* model.generateText({
        prompt: Prompt.merge(Prompt.make("weather?"), AiLanguageModel.fromResponseParts(content)),
        toolkit
      })
      assert.notInclude((yield* requests)[1]?.text, "signed")
    }).pipe(Effect.provide(handlers), withModel([signed, answer("It rains.")])))
})
