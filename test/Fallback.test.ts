/**
 * Fallback servers: which server is tried after which error, and what the caller receives.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Fiber, Inspectable, Option, Schema, Stream, TestClock } from "effect"
import {
  ChatCompletions,
  ChatError,
  type ChatEvent,
  ChatManager,
  ChatMessage,
  type ChatResponse,
  Fallback,
  HistoryStore,
  Limits,
  LLMChat,
  LLMConfig
} from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, held, nothing, options, requests, sent, streams, withScript } from "./support/chats.ts"

const config = (name: string, overrides?: Partial<LLMConfig.Options>) =>
  LLMConfig.make(
    options({ baseUrl: `http://${name}.test/v1`, model: `model-of-${name}`, provider: name, ...overrides })
  )

const request = (more?: Partial<ChatCompletions.ChatRequest>): ChatCompletions.ChatRequest => ({
  config: config("one"),
  messages: [ChatMessage.system("S"), ChatMessage.user("hello")],
  ...more
})

const others = [config("two"), config("three")]

const withFallback = (more?: Partial<Fallback.Options>) =>
  Effect.flatMap(ChatCompletions.make, (completions) => Fallback.make({ configs: others, ...more }).over(completions))

type Script = (request: ScriptedHttpClient.CapturedRequest) => ScriptedHttpClient.ScriptedResponse

const hostOf = (request: ScriptedHttpClient.CapturedRequest): string => new URL(request.url).host.split(".")[0] ?? ""

/** The script of each server. A server without one answers with its name. */
const servers = (scripts: Record<string, Script>): ScriptedHttpClient.Script => (request) => {
  const host = hostOf(request)
  return scripts[host]?.(request) ?? replies(`from ${host}`)(request)
}

const replies = (text: string): Script => (request) =>
  streams(request) ? ScriptedHttpClient.tokens(text.split(/(?<= )/)) : answer(text)

const fails = (status: number, error: unknown = "no"): Script => () => ScriptedHttpClient.json({ error }, { status })

const askedHosts = Effect.map(requests, (all) => all.map(hostOf))

/** The text of an answer, with and without a stream. */
const modes: Record<
  string,
  (service: ChatCompletions.Service, request: ChatCompletions.ChatRequest) => Effect.Effect<string, ChatError.ChatError>
> = {
  complete: (service, request) => Effect.map(service.complete(request), ({ text }) => text),
  stream: (service, request) =>
    Stream.runFold(service.stream(request), "", (text, event) => event._tag === "TextDelta" ? text + event.text : text)
}

/** The start of an answer that never ends. */
const unfinished = ScriptedHttpClient.sse([{ choices: [{ index: 0, delta: { content: "some" } }] }])

const breaksOff = (...parts: ReadonlyArray<string>): Script => () =>
  ScriptedHttpClient.tokens(parts, { ending: ScriptedHttpClient.reset() })

for (const [mode, run] of Object.entries(modes)) {
  describe(`a fallback (${mode})`, () => {
    const retriedElsewhere: Record<string, Script> = {
      "is rate-limited": fails(429),
      "is out of quota": fails(429, { message: "no", code: "insufficient_quota" }),
      "requires a payment": fails(402),
      "fails": fails(500),
      "is overloaded": fails(503),
      "cannot be reached": () => ScriptedHttpClient.connectionError(),
      "breaks off before its first event": () => ScriptedHttpClient.bytes([ScriptedHttpClient.reset()]),
      "is too slow": () => ScriptedHttpClient.delayed("1 hour", answer("late"))
    }
    for (const [situation, script] of Object.entries(retriedElsewhere)) {
      it.effect(`tries the next server if one ${situation}`, () =>
        Effect.gen(function*() {
          const service = yield* withFallback()
          const fiber = yield* Effect.fork(
            run(service, request({ config: config("one", { firstTokenTimeout: 1000 }) }))
          )
          yield* TestClock.adjust("1 second")
          assert.strictEqual(yield* Fiber.join(fiber), "from two")
          assert.deepStrictEqual(yield* askedHosts, ["one", "two"])
          assert.deepStrictEqual(yield* held, nothing)
        }).pipe(withScript(servers({ one: script }))))
    }

    const final: Record<string, Script> = {
      "refuses the key": fails(401),
      "denies permission": fails(403),
      "does not have the model": fails(404),
      "refuses the request": fails(400),
      "reports that the messages are too long": fails(400, { message: "no", code: "context_length_exceeded" }),
      "refuses the prompt": fails(400, { message: "no", code: "content_filter" }),
      "uses another protocol": () => ScriptedHttpClient.json({ hello: "world" })
    }
    for (const [situation, script] of Object.entries(final)) {
      it.effect(`tries no other server if one ${situation}`, () =>
        Effect.gen(function*() {
          const service = yield* withFallback()
          const error = yield* Effect.flip(run(service, request()))
          assert.deepStrictEqual(yield* askedHosts, ["one"])
          assert.deepStrictEqual(Fallback.attempts(error), [error])
          assert.isUndefined(error.cause)
        }).pipe(withScript(servers({ one: script }))))
    }

    it.effect("tries the servers in the given order until one answers", () =>
      Effect.gen(function*() {
        const service = yield* withFallback()
        assert.strictEqual(yield* run(service, request()), "from three")
        assert.deepStrictEqual(yield* askedHosts, ["one", "two", "three"])
      }).pipe(withScript(servers({ one: fails(500), two: fails(429) }))))

    it.effect("fails with the last error if no server answers, with all errors as attempts", () =>
      Effect.gen(function*() {
        const service = yield* withFallback()
        const error = yield* Effect.flip(run(service, request()))
        assert.strictEqual(error._tag, "TransportError")
        assert.instanceOf(error, ChatError.TransportError)
        assert.isTrue(error.isRetryable)
        assert.deepStrictEqual(
          Fallback.attempts(error).map(({ _tag }) => _tag),
          ["RateLimitError", "ServerError", "TransportError"]
        )
        assert.strictEqual(Fallback.attempts(error).at(-1), error)

        const { cause } = error
        assert.instanceOf(cause, Fallback.EarlierAttempts)
        assert.include(cause.message, "one (model-of-one): RateLimitError: slow down")
        assert.include(cause.message, "two (model-of-two): ServerError")
        assert.include(Inspectable.toStringUnknown(cause.cause), "ECONNREFUSED")
      }).pipe(withScript(servers({
        one: fails(429, "slow down"),
        two: fails(500),
        three: () => ScriptedHttpClient.connectionError()
      }))))

    it.effect("retries each server by its config before the next is tried", () =>
      Effect.gen(function*() {
        const service = yield* withFallback()
        const fiber = yield* Effect.fork(run(service, request({ config: config("one", { maxRetries: 2 }) })))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* Fiber.join(fiber), "from two")
        assert.deepStrictEqual(yield* askedHosts, ["one", "one", "one", "two"])
      }).pipe(withScript(servers({ one: fails(500) }))))

    it.effect("sends the same messages and options to each server, with the model and sampling of its config", () =>
      Effect.gen(function*() {
        const service = yield* withFallback({ configs: [config("two", { temperature: 1.5 })] })
        yield* run(service, request({ options: { model: "another", seed: 7 } }))
        const [first, second] = yield* requests
        assert.deepStrictEqual(sent(second), sent(first))
        assert.deepInclude(first?.body, { model: "another", seed: 7, temperature: 0.7 })
        assert.deepInclude(second?.body, { model: "model-of-two", seed: 7, temperature: 1.5 })
      }).pipe(withScript(servers({ one: fails(500) }))))

    it.effect("uses the given shouldFallback", () =>
      Effect.gen(function*() {
        const service = yield* withFallback({ shouldFallback: ({ _tag }) => _tag === "NotFoundError" })
        const error = yield* Effect.flip(run(service, request()))
        assert.strictEqual(error._tag, "ServerError")
        assert.deepStrictEqual(yield* askedHosts, ["one", "two"])
      }).pipe(withScript(servers({ one: fails(404), two: fails(500) }))))

    it.effect("can choose servers by the request", () =>
      Effect.gen(function*() {
        const service = yield* withFallback({
          configs: ({ config }) => config.provider === "one" ? [] : others
        })
        yield* Effect.flip(run(service, request()))
        assert.strictEqual(yield* run(service, request({ config: config("zero") })), "from two")
        assert.deepStrictEqual(yield* askedHosts, ["one", "zero", "two"])
      }).pipe(withScript(servers({ one: fails(500), zero: fails(500) }))))

    it.effect("reports the failed server and the next one", () =>
      Effect.gen(function*() {
        const reported: Array<string> = []
        const service = yield* withFallback({
          onFallback: ({ config, error, next }) =>
            Effect.sync(() => reported.push(`${config.provider} ${error._tag} ${next.provider}`))
        })
        yield* run(service, request())
        assert.deepStrictEqual(reported, ["one ServerError two", "two RateLimitError three"])
      }).pipe(withScript(servers({ one: fails(500), two: fails(429) }))))

    it.effect("tries no other server if it is interrupted", () =>
      Effect.gen(function*() {
        const service = yield* withFallback()
        const fiber = yield* Effect.fork(run(service, request()))
        yield* TestClock.adjust(0)
        assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
        assert.deepStrictEqual(yield* askedHosts, ["one"])
        assert.deepStrictEqual(yield* held, nothing)
      }).pipe(withScript(servers({ one: () => ScriptedHttpClient.delayed("1 hour", answer("late")) }))))

    it.scoped("releases its permit of the limits before it waits for the next one", () =>
      Effect.gen(function*() {
        const completions = yield* ChatCompletions.make
        const limits = Limits.make({ concurrency: 1 })
        const fallback = Fallback.make({ configs: others })
        const inside = yield* fallback.over(yield* limits.over(completions))
        const outside = yield* limits.over(yield* fallback.over(completions))
        assert.strictEqual(yield* run(inside, request()), "from two")
        assert.strictEqual(yield* run(outside, request()), "from two")
      }).pipe(withScript(servers({ one: fails(500) }))))
  })
}

describe("a fallback of a stream", () => {
  it.effect("does not apply after the first event, and the error has the part that arrived", () =>
    Effect.gen(function*() {
      const service = yield* withFallback({ shouldFallback: () => true })
      const reported: Array<string> = []
      const error = yield* service.stream(request()).pipe(
        Stream.runForEach((event) => Effect.sync(() => reported.push(event._tag))),
        Effect.flip
      )
      assert.deepStrictEqual(reported, ["Begin", "TextDelta", "TextDelta"])
      assert.strictEqual(error.partial?.text, "Hello wor")
      assert.deepStrictEqual(yield* askedHosts, ["one"])
    }).pipe(withScript(servers({ one: breaksOff("Hello ", "wor") }))))

  it.effect("does not retry the second server if its answer breaks off", () =>
    Effect.gen(function*() {
      const service = yield* withFallback({ shouldFallback: () => true })
      const reported: Array<string> = []
      const error = yield* service.stream(request()).pipe(
        Stream.runForEach((event) => Effect.sync(() => reported.push(event._tag))),
        Effect.flip
      )
      assert.deepStrictEqual(reported, ["Begin", "TextDelta"])
      assert.deepStrictEqual(Fallback.attempts(error).map(({ _tag }) => _tag), ["ServerError", "TransportError"])
      assert.strictEqual(error.partial?.text, "Hello")
      assert.deepStrictEqual(yield* askedHosts, ["one", "two"])
    }).pipe(withScript(servers({ one: fails(500), two: breaksOff("Hello") }))))

  it.effect("closes the failed server's response before it tries the next server", () =>
    Effect.gen(function*() {
      const open: Array<number> = []
      const script = yield* ScriptedHttpClient.ScriptedHttpClient
      const service = yield* withFallback({
        onFallback: () => Effect.flatMap(script.openBodies, (count) => Effect.sync(() => open.push(count)))
      })
      const config1 = config("one", { firstTokenTimeout: "1 second" })
      const fiber = yield* Effect.fork(Stream.runDrain(service.stream(request({ config: config1 }))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(open, [0])
    }).pipe(withScript(servers({ one: () => ScriptedHttpClient.bytes([ScriptedHttpClient.never]) }))))

  const outcome = FastCheck.oneof(
    FastCheck.constantFrom(400, 401, 402, 429, 500).map((status) => ({ script: fails(status), tokens: 0 })),
    FastCheck.record({ tokens: FastCheck.integer({ min: 0, max: 4 }), whole: FastCheck.boolean() })
  )

  it.effect.prop(
    "never mixes two answers, whichever servers fail",
    [FastCheck.array(outcome, { minLength: 3, maxLength: 3 }), FastCheck.boolean()],
    ([outcomes, always]) => {
      const names = ["one", "two", "three"]
      const scripts = Object.fromEntries(names.map((name, index): [string, Script] => {
        const plan = outcomes[index]
        if (plan === undefined) return [name, replies(name)]
        if ("script" in plan) return [name, plan.script]
        const parts = Array.from({ length: plan.tokens }, (_, n) => `${name}${n} `)
        return [name, plan.whole ? replies(parts.join("")) : breaksOff(...parts)]
      }))
      return Effect.gen(function*() {
        const service = yield* withFallback(always ? { shouldFallback: () => true } : {})
        const events: Array<ChatEvent.ChatEvent> = []
        const exit = yield* service.stream(request()).pipe(
          Stream.runForEach((event) => Effect.sync(() => events.push(event))),
          Effect.exit
        )
        const text = events.map((event) => event._tag === "TextDelta" ? event.text : "").join("")
        const last = (yield* askedHosts).at(-1) ?? ""
        assert.isTrue(text.split(" ").every((word) => word === "" || word.startsWith(last)), text)
        const ends = events.filter(({ _tag }) => _tag === "Finish")
        assert.strictEqual(ends.length, Exit.isSuccess(exit) ? 1 : 0)
        assert.deepStrictEqual(yield* askedHosts, names.slice(0, names.indexOf(last) + 1))
        assert.deepStrictEqual(yield* held, nothing)
      }).pipe(withScript(servers(scripts)))
    },
    { fastCheck: { numRuns: 100 }, timeout: 60_000 }
  )
})

describe("the provider and model of a response", () => {
  const answers: Record<
    string,
    (
      service: ChatCompletions.Service,
      request: ChatCompletions.ChatRequest
    ) => Effect.Effect<ChatResponse.ChatResponse | undefined, ChatError.ChatError>
  > = {
    complete: (service, request) => service.complete(request),
    stream: (service, request) =>
      Effect.map(Stream.runLast(service.stream(request)), (last) => {
        const event = Option.getOrUndefined(last)
        return event?._tag === "Finish" ? event.response : undefined
      })
  }

  for (const [mode, run] of Object.entries(answers)) {
    it.effect(`are those of the server that answered (${mode})`, () =>
      Effect.gen(function*() {
        const service = yield* withFallback()
        assert.deepInclude(yield* run(service, request()), { provider: "two", model: "scripted" })
        const another = request({ config: config("four") })
        assert.deepInclude(yield* run(service, another), { provider: "four", model: "scripted" })
      }).pipe(withScript(servers({ one: fails(500) }))))

    it.effect(`have the server's origin as the provider if its config has none (${mode})`, () =>
      Effect.gen(function*() {
        const unnamed = LLMConfig.make({ baseUrl: "http://two.test:8080/v1/", maxRetries: 0 })
        const service = yield* withFallback({ configs: [unnamed] })
        assert.strictEqual((yield* run(service, request()))?.provider, "http://two.test:8080")

        const error = yield* Effect.flip(run(service, request({ config: unnamed })))
        assert.strictEqual(error.partial?.provider, "http://two.test:8080")
      }).pipe(withScript((request, index) => {
        if (index === 0) return fails(500)(request)
        return index === 1 ? replies("a")(request) : unfinished
      })))
  }

  it.effect("are stored with the message, and messages without a provider can still be decoded", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config("one"), { fallback: Fallback.make({ configs: others }) })
      yield* chat.chat("hello")

      const message = (yield* chat.history).at(-1)
      assert.deepInclude(message, { role: "assistant", provider: "two", model: "scripted" })
      const json: unknown = JSON.parse(JSON.stringify(message))
      assert.deepStrictEqual(yield* Schema.decodeUnknown(ChatMessage.ChatMessage)(json), message)
      const old = { role: "assistant", content: "from before", finishReason: "stop", model: "m" }
      assert.deepStrictEqual<unknown>(yield* Schema.decodeUnknown(ChatMessage.ChatMessage)(old), old)
    }).pipe(withScript(servers({ one: fails(503) }))))
})

describe("a conversation with a fallback", () => {
  it.effect("has it as an option, and refuses invalid configs with index, field and rule", () =>
    Effect.gen(function*() {
      const chat = yield* Effect.provide(
        LLMChat.LLMChat,
        LLMChat.layer(config("one"), {
          fallback: Fallback.make({ configs: others, shouldFallback: ({ status }) => status === 404 })
        })
      )
      assert.strictEqual((yield* chat.chat("hello")).text, "from two")

      const bad = { baseUrl: "http://two.test/v1", maxTokens: 0 }
      const error = yield* Effect.flip(LLMChat.make(config("one"), { fallback: Fallback.make({ configs: [bad] }) }))
      assert.strictEqual(error._tag, "ParseError")
      assert.match(error.message, /^configs\.0\.maxTokens: Expected an integer greater than 0, or null, actual .*$/)
    }).pipe(withScript(servers({ one: fails(404) }))))

  it.scoped("stores a turn once if a server answered, and not at all otherwise", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const manager = yield* ChatManager.make({ config: config("one"), fallback: Fallback.make({ configs: others }) })
      const chat = yield* manager.getChat("ada")
      yield* Stream.runDrain(chat.chatStream("hello"))
      const error = yield* Effect.flip(Stream.runDrain(chat.chatStream("nobody")))

      assert.lengthOf(Fallback.attempts(error), 3)
      const stored = Option.getOrUndefined(yield* store.load("ada"))
      assert.strictEqual(stored?.version, 1)
      assert.deepStrictEqual(stored?.messages.map(({ content }) => content), ["hello", "from two"])
    }).pipe(
      Effect.provide(HistoryStore.layerMemory),
      withScript(servers({
        one: fails(503),
        two: (request) => sent(request).at(-1) === "user: nobody" ? fails(500)(request) : replies("from two")(request),
        three: fails(429)
      }))
    ))

  it.effect("has one turn per prompt, whichever server answered", () =>
    Effect.gen(function*() {
      const service = yield* withFallback()
      const chat = yield* LLMChat.fromCompletions(service, config("one"))
      yield* chat.chat("hello")
      yield* Stream.runDrain(chat.chatStream("again"))
      const history = yield* chat.history
      assert.deepStrictEqual(history.map(({ content }) => content), ["S", "hello", "from two", "again", "from two"])
    }).pipe(withScript(servers({ one: fails(503) }))))
})
