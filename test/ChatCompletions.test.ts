import { HttpClient, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema, Stream } from "effect"
import { CallOptions, ChatCompletions, ChatMessage, type LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { spansOf } from "./support/spans.ts"
import { answer, type Asking, failure, layer, reply, requestOf, stream, streamFrom } from "./support/wire/ask.ts"
import { completion, data, delta, done, ends, says } from "./support/wire/say.ts"

const sentBody = (asking: Asking) =>
  Effect.map(stream(says("a") + done, asking), (received) => {
    answer(received)
    return JSON.parse(received.requests[0]?.text ?? "")
  })

describe("ChatCompletions", () => {
  describe("the request sends", () => {
    const content = (parts: ReadonlyArray<ChatMessage.ContentPart>) =>
      Effect.map(sentBody({ messages: [ChatMessage.user(parts)] }), (body) => body.messages[0].content)

    it.effect("a text part", () =>
      Effect.map(content([ChatMessage.text("look")]), (parts) => {
        assert.deepStrictEqual(parts, [{ type: "text", text: "look" }])
      }))

    it.effect("the URL and the detail of an image", () =>
      Effect.map(
        content([ChatMessage.imageUrl("https://x.test/a.png"), ChatMessage.imageUrl("https://x.test/b.png", "low")]),
        (parts) =>
          assert.deepStrictEqual(parts, [
            { type: "image_url", image_url: { url: "https://x.test/a.png" } },
            { type: "image_url", image_url: { url: "https://x.test/b.png", detail: "low" } }
          ])
      ))

    it.effect("the bytes of an image as a data URL", () =>
      Effect.map(content([ChatMessage.imageData(Uint8Array.of(1, 2, 3), "image/png")]), (parts) => {
        assert.deepStrictEqual(parts, [{ type: "image_url", image_url: { url: "data:image/png;base64,AQID" } }])
      }))

    it.effect("the bytes of a recording as base64", () =>
      Effect.map(content([ChatMessage.audio(Uint8Array.of(1, 2, 3), "wav")]), (parts) => {
        assert.deepStrictEqual(parts, [{ type: "input_audio", input_audio: { data: "AQID", format: "wav" } }])
      }))

    it.effect("a file with its bytes or with its id", () =>
      Effect.map(
        content([
          ChatMessage.fileData(Uint8Array.of(1, 2, 3), "a.pdf", "application/pdf"),
          ChatMessage.fileId("file-1")
        ]),
        (parts) =>
          assert.deepStrictEqual(parts, [
            { type: "file", file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AQID" } },
            { type: "file", file: { file_id: "file-1" } }
          ])
      ))
  })

  describe("the options of a call send", () => {
    const weather = CallOptions.tool({
      name: "weather",
      description: "The weather of a city",
      parameters: Schema.Struct({ city: Schema.String }),
      strict: true
    })

    it.effect("tools, which may have no parameters", () =>
      Effect.map(sentBody({ options: { tools: [weather, { name: "now" }] } }), ({ tools }) => {
        assert.lengthOf(tools, 2)
        assert.strictEqual(tools[0].type, "function")
        assert.strictEqual(tools[0].function.name, "weather")
        assert.strictEqual(tools[0].function.description, "The weather of a city")
        assert.isTrue(tools[0].function.strict)
        assert.deepStrictEqual(tools[0].function.parameters.required, ["city"])
        assert.deepStrictEqual(tools[1], {
          type: "function",
          function: { name: "now", parameters: { type: "object", properties: {} } }
        })
      }))

    it.effect("nothing for an empty list of tools", () =>
      Effect.map(sentBody({ options: { tools: [] } }), (body) => assert.notProperty(body, "tools")))

    it.effect("a choice of tools", () =>
      Effect.gen(function*() {
        for (const toolChoice of ["auto", "none", "required"] as const) {
          assert.strictEqual((yield* sentBody({ options: { tools: [weather], toolChoice } })).tool_choice, toolChoice)
        }
        const body = yield* sentBody({ options: { tools: [weather], toolChoice: { name: "weather" } } })
        assert.deepStrictEqual(body.tool_choice, { type: "function", function: { name: "weather" } })
      }))

    it.effect("parallel_tool_calls", () =>
      Effect.map(sentBody({ options: { tools: [weather], parallelToolCalls: false } }), (body) => {
        assert.isFalse(body.parallel_tool_calls)
      }))

    it.effect("a response format", () =>
      Effect.gen(function*() {
        const json = yield* sentBody({ options: { responseFormat: { type: "json_object" } } })
        assert.deepStrictEqual(json.response_format, { type: "json_object" })
        const schema = { type: "object", properties: {} }
        const strict = yield* sentBody({
          options: { responseFormat: { type: "json_schema", name: "city", schema, strict: true } }
        })
        assert.deepStrictEqual(strict.response_format, {
          type: "json_schema",
          json_schema: { name: "city", schema, strict: true }
        })
      }))

    it.effect("stop, seed and user", () =>
      Effect.map(sentBody({ options: { stop: ["a", "b"], seed: 0, user: "u" } }), (body) => {
        assert.deepStrictEqual(body.stop, ["a", "b"])
        assert.strictEqual(body.seed, 0)
        assert.strictEqual(body.user, "u")
      }))

    it.effect("settings instead of those of the config, and nothing for null", () =>
      Effect.map(
        sentBody({
          options: { model: "m2", temperature: 0, topP: null, maxTokens: 5, frequencyPenalty: -2, presencePenalty: 2 }
        }),
        (body) => {
          assert.strictEqual(body.model, "m2")
          assert.strictEqual(body.temperature, 0)
          assert.notProperty(body, "top_p")
          assert.strictEqual(body.max_tokens, 5)
          assert.strictEqual(body.frequency_penalty, -2)
          assert.strictEqual(body.presence_penalty, 2)
        }
      ))

    it.effect("extraBody, which replaces the config's extraBody and the library's members; undefined removes a member", () =>
      Effect.map(
        sentBody({
          config: { extraBody: { temperature: 1.5, top_k: 1, min_p: 0.1 } },
          options: { extraBody: { top_k: 2, model: "m3", presence_penalty: undefined } }
        }),
        (body) => {
          assert.strictEqual(body.temperature, 1.5)
          assert.strictEqual(body.top_k, 2)
          assert.strictEqual(body.min_p, 0.1)
          assert.strictEqual(body.model, "m3")
          assert.notProperty(body, "presence_penalty")
        }
      ))

    const invalidOptions: ReadonlyArray<readonly [keyof LLMConfig.Options, unknown, RegExp]> = [
      ["temperature", 2.5, /0 and 2.*2\.5/],
      ["topP", -0.1, /0 and 1.*-0\.1/],
      ["maxTokens", 0, /integer greater than.*0/],
      ["maxTokens", 1.5, /integer.*1\.5/],
      ["frequencyPenalty", 3, /-2 and 2.*3/],
      ["presencePenalty", Number.NaN, /NaN/],
      ["model", "", /non empty|""/i]
    ]
    for (const [field, value, rule] of invalidOptions) {
      it.effect(`nothing if ${field} is ${JSON.stringify(value)}, but fail with field, value and rule`, () =>
        Effect.map(
          streamFrom([reply(done)], {
            config: { apiKey: "sk-secret-1" },
            options: JSON.parse(JSON.stringify({ [field]: value }), (_, member: unknown) => member ?? value)
          }),
          (received) => {
            const error = failure(received, "InvalidRequestError")
            assert.include(error.message, field)
            assert.match(error.message, rule)
            assert.notInclude(error.message, "sk-secret-1")
            assert.lengthOf(received.requests, 0)
          }
        ))
    }

    it.effect("nothing if JSON cannot represent a value, but fail", () =>
      Effect.map(streamFrom([reply(done)], { options: { extraBody: { big: 1n } } }), (received) => {
        failure(received, "InvalidRequestError")
        assert.lengthOf(received.requests, 0)
      }))

    it.effect("the headers of the config, which replace the library's", () =>
      Effect.map(
        stream(done, { config: { apiKey: "sk-1234", headers: { "x-title": "mine", authorization: "Basic abcd" } } }),
        ({ requests: [request] }) => {
          assert.strictEqual(request?.headers["x-title"], "mine")
          assert.strictEqual(request?.headers["authorization"], "Basic abcd")
        }
      ))
  })

  describe("a stream", () => {
    it.effect("sends nothing before it runs, and one request each time it runs", () =>
      Effect.gen(function*() {
        const completions = yield* ChatCompletions.ChatCompletions
        const script = yield* ScriptedHttpClient.ScriptedHttpClient
        const events = completions.stream(requestOf())
        assert.lengthOf(yield* script.requests, 0)
        const first = yield* Stream.runCollect(events)
        const second = yield* Stream.runCollect(events)
        assert.deepStrictEqual(Array.from(first), Array.from(second))
        assert.lengthOf(yield* script.requests, 2)
      }).pipe(Effect.provide(layer(() => reply(says("a") + done)))))

    it.effect("emits the events of one read as one chunk", () =>
      Effect.gen(function*() {
        const completions = yield* ChatCompletions.ChatCompletions
        const chunks = yield* completions.stream(requestOf()).pipe(Stream.chunks, Stream.runCount)
        assert.strictEqual(chunks, 2)
      }).pipe(Effect.provide(layer([reply([says("a").repeat(50), says("b") + ends() + done])]))))

    it.effect("closes its body if the consumer stops reading", () =>
      Effect.gen(function*() {
        const completions = yield* ChatCompletions.ChatCompletions
        const script = yield* ScriptedHttpClient.ScriptedHttpClient
        yield* completions.stream(requestOf()).pipe(Stream.take(1), Stream.runDrain)
        assert.strictEqual(yield* script.openBodies, 0)
      }).pipe(Effect.provide(layer([ScriptedHttpClient.bytes([says("a"), says("b"), ScriptedHttpClient.never])]))))

    it.effect("emits the events before an error, then the error", () =>
      Effect.map(
        stream(says("a") + data(delta({ content: "b" }, { error: null })) + data({ error: "x" })),
        (received) => {
          assert.deepStrictEqual(received.events.map((event) => event._tag), ["Begin", "TextDelta", "TextDelta"])
          failure(received, "ServerError")
        }
      ))
  })

  describe("a request", () => {
    /** Runs calls with a client that answers with this body. Returns the signals of the requests. */
    const abortedSignals = (
      body: string,
      use: (completions: ChatCompletions.Service) => Effect.Effect<unknown, unknown>
    ) =>
      Effect.gen(function*() {
        const signals: Array<AbortSignal> = []
        const client = HttpClient.make((request, _, signal) => {
          signals.push(signal)
          return Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(body)))
        })
        const completions = yield* Effect.provideService(ChatCompletions.make, HttpClient.HttpClient, client)
        yield* use(completions)
        yield* Effect.yieldNow()
        return signals.map((signal) => signal.aborted)
      })

    it.live("is not aborted after the end of its body", () =>
      Effect.gen(function*() {
        const completeSignals = yield* abortedSignals(
          JSON.stringify(completion({ content: "a" })),
          (completions) => completions.complete(requestOf())
        )
        assert.deepStrictEqual(completeSignals, [false])
        const streamSignals = yield* abortedSignals(
          says("a") + done,
          (completions) => Stream.runDrain(completions.stream(requestOf()))
        )
        assert.deepStrictEqual(streamSignals, [false])
      }))

    it.live("is aborted if the consumer stops reading its answer", () =>
      Effect.map(
        abortedSignals(
          says("a"),
          (completions) => Stream.runDrain(Stream.take(completions.stream(requestOf()), 1))
        ),
        (aborted) => assert.deepStrictEqual(aborted, [true])
      ))
  })

  it.effect("runs many calls at once without mixing them up", () =>
    Effect.gen(function*() {
      const completions = yield* ChatCompletions.ChatCompletions
      const texts = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, i) => String(i)),
        (text) => completions.complete(requestOf({ messages: [ChatMessage.user(text)] })),
        { concurrency: "unbounded" }
      )
      texts.forEach((response, i) => assert.strictEqual(response.text, String(i)))
    }).pipe(Effect.provide(layer((request) => {
      const body = JSON.parse(request.text)
      return ScriptedHttpClient.delayed(
        Duration.zero,
        ScriptedHttpClient.json(completion({ content: body.messages[0].content }))
      )
    }))))

  it.effect("puts the key into no span", () =>
    Effect.gen(function*() {
      const config = { apiKey: "sk-very-secret", headers: { "x-other": "other-secret" } }
      const spans = yield* spansOf(Effect.forEach(
        [{}, { authHeader: "api-key" as const }],
        (wire) => streamFrom([reply(says("a") + done)], { config, wire })
      ))
      assert.isAbove(spans.length, 0)
      const shown = spans.map((span) => JSON.stringify([...span.attributes])).join("\n")
      assert.notInclude(shown, "sk-very-secret")
      assert.notInclude(shown, "other-secret")
    }))
})
