/**
 * The key, and the values of further headers, appear in no printed value.
 */
import { HttpClient, HttpClientError } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  type Console,
  Context,
  Effect,
  Exit,
  Inspectable,
  Layer,
  Logger,
  LogLevel,
  Option,
  Schema,
  Stream,
  Tracer
} from "effect"
import { ChatError, ChatManager, LLMChat, LLMConfig, Provider } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import * as Util from "node:util"
import { answer } from "../support/chats.ts"

const { connectionError, json, reset, sse, text, tokens } = ScriptedHttpClient

const key = "sk-made-up-0123456789abcdef"
const token = "made-up-header-token-42"

const configs = {
  "an Authorization header": LLMConfig.make({
    baseUrl: "http://scripted.test/v1",
    apiKey: key,
    headers: { "X-Token": token },
    retryBaseDelay: "1 millis",
    maxRetries: 0
  }),
  "an api-key header": LLMConfig.make({
    baseUrl: "http://scripted.test/v1",
    apiKey: key,
    headers: { "X-Token": token },
    wire: Provider.Wire.make({ authHeader: "api-key" }),
    maxRetries: 0
  })
}

/** The texts that a program can print for a value. */
const printed = (value: unknown): ReadonlyArray<string> =>
  [
    String(value),
    JSON.stringify(value),
    Inspectable.toStringUnknown(value),
    Inspectable.format(value),
    Util.inspect(value, { depth: Infinity, showHidden: true }),
    Util.format("%s %o %j", value, value, value),
    ...value instanceof Error ? [value.stack, value.message] : []
  ].filter((text) => text !== undefined)

/** All texts that can be reached from a value, whether they are printed or not. */
const reachable = (root: unknown): ReadonlyArray<string> => {
  const texts: Array<string> = []
  const visited = new Set<unknown>()
  const visit = (value: unknown): void => {
    if (typeof value === "string") texts.push(value)
    if ((typeof value !== "object" && typeof value !== "function") || value === null || visited.has(value)) return
    visited.add(value)
    for (const name of Reflect.ownKeys(value)) {
      texts.push(String(name))
      const property = Object.getOwnPropertyDescriptor(value, name)
      if (property !== undefined && "value" in property) visit(property.value)
    }
    if (value instanceof Map || value instanceof Set) Array.from(value).forEach(visit)
  }
  visit(root)
  return texts
}

const assertSecret = (texts: Iterable<string>, where: string): void => {
  for (const shown of texts) {
    assert.notInclude(shown, key, `the key is shown by ${where}`)
    assert.notInclude(shown, token, `a header is shown by ${where}`)
  }
}

/** A tracer that records everything that its spans receive. */
const makeTracer = () => {
  const spans: Array<unknown> = []
  const span = (name: string, attributes: Map<string, unknown>): Pick<Tracer.Span, "attribute" | "end" | "event"> => {
    spans.push([name, attributes])
    return {
      attribute: (key, value) => void attributes.set(key, value),
      event: (key, _, attributes) => void spans.push([key, attributes]),
      end: (_, exit) => {
        if (Exit.isFailure(exit)) spans.push(Cause.pretty(exit.cause, { renderErrorCause: true }), exit)
      }
    }
  }
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind, options) => {
      const attributes = new Map<string, unknown>(Object.entries(options?.attributes ?? {}))
      return {
        _tag: "Span",
        spanId: `${spans.length}`,
        traceId: "trace",
        name,
        sampled: true,
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes,
        links: [...links],
        kind,
        addLinks: () => {},
        ...span(name, attributes)
      }
    },
    context: (f) => f()
  })
  return { tracer, spans }
}

const loggers = [Logger.logfmtLogger, Logger.jsonLogger, Logger.stringLogger, Logger.prettyLogger({ colors: false })]

/** A console that records its output. */
const makeConsole = () => {
  const lines: Array<string> = []
  const write = (...args: ReadonlyArray<unknown>) => void lines.push(Util.format(...args))
  const unsafe: Console.UnsafeConsole = Object.create(
    globalThis.console,
    Object.fromEntries(
      ["log", "info", "warn", "error", "debug", "trace", "group", "groupCollapsed", "dir"].map((name) => [
        name,
        { value: write }
      ])
    )
  )
  const effect: Console.Console = Object.create({}, {
    unsafe: { value: unsafe },
    ...Object.fromEntries(
      ["log", "info", "warn", "error", "debug", "trace"].map((name) => [
        name,
        { value: (...args: ReadonlyArray<unknown>) => Effect.sync(() => write(...args)) }
      ])
    )
  })
  return { lines, unsafe, effect }
}

/** Everything that a program writes, at every level, while it runs the effect. */
const observe = <E, R>(effect: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    const { spans, tracer } = makeTracer()
    const logged: Array<string> = []
    const { effect: console, lines } = makeConsole()
    const logLayer = loggers.map((logger) =>
      Logger.add(Logger.map(logger, (output) => {
        logged.push(Util.format(output))
      }))
    ).reduce((merged, layer) => Layer.merge(merged, layer))
    const exit = yield* Effect.exit(effect).pipe(
      Effect.tap((exit) => Effect.log("ended", exit)),
      Effect.tap((exit) => Exit.isFailure(exit) ? Effect.logError("failed", exit.cause) : Effect.void),
      Effect.withSpan("program"),
      Effect.withTracer(tracer),
      Effect.provide(logLayer),
      Logger.withMinimumLogLevel(LogLevel.All),
      Effect.withConsole(console)
    )
    return { exit, written: [...logged, ...lines], spans }
  })

const leakingError = new Error(`connect failed with Bearer ${key} and ${token}`, {
  cause: new Error(`deep: ${key}`, { cause: { headers: { authorization: `Bearer ${key}`, "x-token": token } } })
})

const echoed = { error: { message: `bad key ${key}`, code: key, type: token, param: key }, sent: { token } }

const responses: Record<string, ScriptedHttpClient.ScriptedResponse> = {
  "answers": tokens(["hello"]),
  "refuses and echoes the key in JSON": json(echoed, { status: 401 }),
  "refuses and echoes the key in text": text(`Bearer ${key} ${token}`, { status: 403 }),
  "refuses and echoes the key in its headers": json({}, {
    status: 400,
    headers: { "x-request-id": key, "x-echo": token, location: `http://other/${key}` }
  }),
  "redirects to an address with the key": text("", { status: 302, headers: { location: `http://other/?key=${key}` } }),
  "asks to wait, and echoes the key": json(echoed, { status: 429, headers: { "retry-after": "100000" } }),
  "echoes the key in an error event": sse([{ choices: [{ index: 0, delta: { content: "x" } }] }, echoed]),
  "says the key in its answer, and is cut": tokens([`your key is ${key}`, token], { ending: "truncated" }),
  "says the key in the id and model of its answer, and fails": sse([
    { id: key, model: token, choices: [{ index: 0, delta: { content: "x" } }] },
    echoed
  ]),
  "echoes the key in what is no JSON": text(`{ ${key} ${token}`),
  "echoes the key in an event that is no JSON": sse([`{ ${key} ${token}`]),
  "cannot be reached": connectionError(),
  "cannot be reached, with a cause that shows the key": connectionError({ cause: leakingError }),
  "cannot be reached, with a cause that is no Error": connectionError({ cause: { headers: { key, token } } }),
  "resets": tokens(["one"], { ending: reset(`read ${key} ${token}`) }),
  "is cut": tokens(["one"], { ending: "truncated" })
}

const scripted = (response: ScriptedHttpClient.ScriptedResponse) =>
  ScriptedHttpClient.layer([response], { repeatLast: true })

/** A client whose error contains the request, and with it the key, and has no cause. */
const failing = (make: (request: HttpClientError.RequestError["request"]) => HttpClientError.HttpClientError) =>
  Layer.succeed(HttpClient.HttpClient, HttpClient.make((request) => Effect.fail(make(request))))

const clients: Record<string, Layer.Layer<HttpClient.HttpClient>> = {
  ...Object.fromEntries(Object.entries(responses).map(([name, response]) => [name, scripted(response)])),
  "fails without a cause": failing((request) => new HttpClientError.RequestError({ request, reason: "Transport" })),
  "cannot encode the request": failing((request) => new HttpClientError.RequestError({ request, reason: "Encode" })),
  "finds the address invalid": failing((request) =>
    new HttpClientError.RequestError({ request, reason: "InvalidUrl", cause: leakingError })
  ),
  "dies": Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.die(new Error("a bug"))))
}

describe("the key and the values of headers", () => {
  for (const [where, config] of Object.entries(configs)) {
    for (const [fault, client] of Object.entries(clients)) {
      it.effect(`are shown by no error, log line or span: with ${where}, of a server that ${fault}`, () =>
        Effect.gen(function*() {
          const chat = yield* LLMChat.make(config)

          const streamed = yield* observe(Stream.runCollect(chat.chatEvents("a")))
          const complete = yield* observe(chat.chat("a"))

          for (const { exit, spans, written } of [streamed, complete]) {
            const error = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
            assertSecret(written, "a log line")
            assertSecret(reachable(spans), "a span")
            assertSecret(printed(exit), "an exit")
            assertSecret(Exit.isFailure(exit) ? [Cause.pretty(exit.cause, { renderErrorCause: true })] : [], "a cause")
            assertSecret(printed(error), "an error")
            assertSecret(reachable(error), "what an error holds")
            if (error !== undefined) {
              assertSecret([JSON.stringify(Schema.encodeSync(ChatError.ChatError)(error))], "an error as JSON")
            }
            assert.isAbove(written.length, 0)
            assert.isAbove(spans.length, 1)
          }
        }).pipe(Effect.provide(client)))
    }

    it.effect(`are shown by nothing that a program can print: ${where}`, () =>
      Effect.gen(function*() {
        const chat = yield* LLMChat.make(config)
        yield* chat.chat("a")
        const manager = yield* ChatManager.make({ config })
        const managed = yield* manager.getChat("ada")
        const context = Context.make(LLMChat.LLMChat, chat)

        for (const value of [config, chat, manager, managed, context, yield* chat.history, yield* chat.usage]) {
          assertSecret(printed(value), "a value")
        }
        const { written } = yield* observe(Effect.log(config, chat, manager, yield* chat.history))
        assertSecret(written, "a log line")
      }).pipe(Effect.scoped, Effect.provide(scripted(answer("hi")))))
  }

  it.effect("are sent where they belong", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(
        Object.values(configs),
        (config) => Effect.flatMap(LLMChat.make(config), (chat) => chat.ask("a"))
      )

      const [bearer, custom] = yield* Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (script) => script.requests)
      assert.strictEqual(bearer?.headers.authorization, `Bearer ${key}`)
      assert.strictEqual(bearer?.headers["x-token"], token)
      assert.strictEqual(custom?.headers["api-key"], key)
      assert.isUndefined(custom?.headers.authorization)
    }).pipe(Effect.provide(ScriptedHttpClient.layer([answer("hi")], { repeatLast: true }))))
})

describe("the refusal of a setting", () => {
  const wrong: ReadonlyArray<Record<string, unknown>> = [
    { temperature: 9 },
    { baseUrl: "ftp://x" },
    { model: "" },
    { headers: { "x-token": token, "x-other": 5 } },
    { apiKey: `${key} ${key}` },
    { headers: 5 },
    { apiKey: [key] },
    { headers: { "x-token": [token] } },
    { headers: [token] },
    { headers: token }
  ]

  for (const fields of wrong) {
    it(`shows no key and no header: ${Object.keys(fields).join()} ${JSON.stringify(fields).length}`, () => {
      const input = { baseUrl: "http://host", apiKey: key, headers: { "x-token": token }, ...fields }
      const decode = Schema.decodeUnknownEither(LLMConfig.LLMConfig)

      for (const errors of ["first", "all"] as const) {
        const decoded = decode(input, { errors })
        assert.strictEqual(decoded._tag, "Left")
        if (decoded._tag === "Left") assertSecret([decoded.left.message, String(decoded.left)], "a refusal")
      }
    })
  }
})
