import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, Fiber, Logger, Option, ParseResult, Schema } from "effect"
import { ChatCompletions, ChatMessage, LLMConfig } from "effect-chat"
import * as HistoryWindow from "effect-chat/HistoryWindow"
import { ScriptedHttpClient } from "effect-chat/testing"
import type * as TokenCounter from "effect-chat/tokens/TokenCounter"
import { answer, lines, options, sent } from "../support/chats.ts"

const { assistant, system, toolResult, user } = ChatMessage

const characters: TokenCounter.TokenCounter = {
  count: (message) => typeof message.content === "string" ? message.content.length : 0
}

const turns = (from: number, to: number): ReadonlyArray<ChatMessage.ChatMessage> =>
  Array.from({ length: to - from + 1 }, (_, index) => [user(`q${from + index}`), assistant(`a${from + index}`)]).flat()

const linesOf = (from: number, to: number): ReadonlyArray<string> => lines(turns(from, to))

const summarized = (text: string): ReadonlyArray<string> => [
  "user: Summarize our conversation so far.",
  `assistant: ${text}`
]

/** Every answer is the number of the request: the first is `S1`. */
const numbered = ScriptedHttpClient.layer((_, index) => answer(`S${index + 1}`))

const config = LLMConfig.make(options())

const complete: Effect.Effect<HistoryWindow.Complete, never, Effect.Effect.Context<typeof ChatCompletions.make>> =
  Effect.map(
    ChatCompletions.make,
    (completions) => (request) => completions.complete({ config, ...request })
  )

const requests = Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (script) => script.requests)

const ended = (content: string, finish_reason: string): ScriptedHttpClient.ScriptedResponse =>
  answer(content, { choices: [{ index: 0, message: { role: "assistant", content }, finish_reason }] })

const refusal = answer("", {
  choices: [{ index: 0, message: { role: "assistant", content: "Well", refusal: "I cannot." }, finish_reason: "stop" }]
})

const input = (
  messages: ReadonlyArray<ChatMessage.ChatMessage>,
  summary?: HistoryWindow.Summary
): HistoryWindow.Input => ({ system: system("S"), messages, newMessages: [user("now")], summary })

const compact = (window: HistoryWindow.HistoryWindow, input: HistoryWindow.Input) =>
  Effect.map(
    Effect.flatMap(complete, (complete) => window.compact?.(input, complete) ?? Effect.succeedNone),
    Option.getOrUndefined
  )

describe("HistoryWindow.summarize", () => {
  it.effect("lets the model summarize all but the newest turns, with the system prompt", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 4 }, keep: 2, instruction: "Sum up" })

      const made = yield* compact(window, input(turns(1, 5)))

      assert.deepStrictEqual(made, { text: "S1", replaces: 6 })
      const [request] = yield* requests
      assert.deepStrictEqual(sent(request), ["system: S", ...linesOf(1, 3), "user: Sum up"])
    }).pipe(Effect.provide(numbered)))

  it.effect("sends the summary in the place of the messages that it replaces", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 4 }, keep: 2 })

      const sent = yield* HistoryWindow.assemble(window, input(turns(1, 5), { text: "so far", replaces: 6 }))

      assert.deepStrictEqual(lines(sent), [
        "system: S",
        ...summarized("so far"),
        ...linesOf(4, 5),
        "user: now"
      ])
    }))

  it.effect("does nothing while the turns are within the limit", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 4, tokens: 16 }, keep: 2, counter: characters })

      const made = yield* compact(window, input(turns(1, 4)))

      assert.deepStrictEqual(made, undefined)
      assert.deepStrictEqual(yield* requests, [])
    }).pipe(Effect.provide(numbered)))

  it.effect("summarizes once, and next time the summary before and the turns since", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 4 }, keep: 2, instruction: "Sum up" })
      const first = yield* compact(window, input(turns(1, 5)))

      const next = yield* Effect.all([6, 7, 8].map((last) => compact(window, input(turns(1, last), first))))

      assert.deepStrictEqual(next, [undefined, undefined, { text: "S2", replaces: 12 }])
      assert.deepStrictEqual((yield* requests).map(sent).at(-1), [
        "system: S",
        ...summarized("S1"),
        ...linesOf(4, 6),
        "user: Sum up"
      ])
    }).pipe(Effect.provide(numbered)))

  it.effect("uses the model of its options, or else the conversation's own", () =>
    Effect.gen(function*() {
      yield* compact(HistoryWindow.summarize({ when: { turns: 2 }, keep: 1, model: "small" }), input(turns(1, 3)))
      yield* compact(HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 }), input(turns(1, 3)))

      const bodies = yield* requests

      assert.deepStrictEqual(bodies.map(({ body }) => Object(body).model), ["small", "m"])
    }).pipe(Effect.provide(numbered)))

  it.effect("keeps no more than half of the tokens, so that the next summary is not due at once", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { tokens: 100 }, keep: 10, counter: characters })
      const messages = [1, 2, 3, 4, 5].flatMap(() => [user("x".repeat(15)), assistant("y".repeat(10))])

      const made = yield* compact(window, input(messages))

      assert.deepStrictEqual(made, { text: "S1", replaces: 6 })
    }).pipe(Effect.provide(numbered)))

  it.effect("keeps the newest turn even if it alone exceeds the tokens", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { tokens: 10 }, keep: 2, counter: characters })
      const large = [user("x".repeat(100)), assistant("y")]

      assert.deepStrictEqual(yield* compact(window, input(large)), undefined)
      assert.deepStrictEqual(
        yield* compact(window, input([...turns(1, 1), ...large])),
        { text: "S1", replaces: 2 }
      )
    }).pipe(Effect.provide(numbered)))

  it.effect("never summarizes the turn that tool results continue", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 })
      const toolCalls = [{ id: "c", name: "look", arguments: "{}" }]
      const waiting: ChatMessage.ChatMessage = { role: "assistant", content: "", toolCalls }
      const messages = [...turns(1, 3), user("q4"), waiting]

      const made = yield* compact(window, { system: undefined, messages, newMessages: [toolResult("c", "found")] })

      assert.deepStrictEqual(made, { text: "S1", replaces: 4 })
    }).pipe(Effect.provide(numbered)))

  it.effect("summarizes a long history in several requests, each within the tokens", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({
        when: { tokens: 20 },
        keep: 1,
        counter: characters,
        instruction: "Sum up"
      })

      const made = yield* compact(window, input(turns(1, 9)))

      assert.deepStrictEqual(made, { text: "S2", replaces: 16 })
      assert.deepStrictEqual((yield* requests).map(sent), [
        ["system: S", ...linesOf(1, 5), "user: Sum up"],
        ["system: S", ...summarized("S1"), ...linesOf(6, 8), "user: Sum up"]
      ])
    }).pipe(Effect.provide(numbered)))

  const unusable: ReadonlyArray<readonly [string, ScriptedHttpClient.ScriptedResponse, string]> = [
    ["whose request fails", ScriptedHttpClient.json({ error: "no" }, { status: 401 }), "AuthenticationError"],
    ["that is empty", answer(" \n"), "the answer is empty"],
    ["that is cut off", ended("half a summ", "length"), "\"length\""],
    ["that is filtered", ended("a summary", "content_filter"), "\"content-filter\""],
    ["that the model refuses", refusal, "the model refused"]
  ]
  for (const [what, response, reason] of unusable) {
    it.effect(`does not use a summary ${what}, and logs a warning`, () =>
      Effect.gen(function*() {
        const logged: Array<string> = []
        const logger = Logger.make(({ logLevel, message }) => logged.push(`${logLevel.label} ${String(message)}`))
        const window = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 })

        const made = yield* compact(window, input(turns(1, 3))).pipe(
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )

        assert.isUndefined(made)
        assert.lengthOf(logged, 1)
        assert.match(logged[0] ?? "", /^WARN The history could not be summarized/)
        assert.include(logged[0], reason)
      }).pipe(Effect.provide(ScriptedHttpClient.layer([response]))))
  }

  it.effect("keeps the summaries of the steps before the one that fails", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { tokens: 20 }, keep: 1, counter: characters })

      const made = yield* compact(window, input(turns(1, 9)))

      assert.deepStrictEqual(made, { text: "S1", replaces: 10 })
    }).pipe(Effect.provide(ScriptedHttpClient.layer([answer("S1"), ended("S2", "length")]))))

  it.effect("is interrupted like any effect", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 })
      const fiber = yield* Effect.fork(
        window.compact?.(input(turns(1, 3)), () => Effect.never) ?? Effect.succeedNone
      )
      yield* Effect.yieldNow()

      const exit = yield* Fiber.interrupt(fiber)

      assert.isTrue(Exit.isInterrupted(exit))
    }))

  it.effect("writes tool calls and their results as text, so that the request needs no tools", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1, instruction: "Sum up" })
      const toolCalls = [
        { id: "call_0", name: "time", arguments: "{}" },
        { id: "call_1", name: "place", arguments: "{\"of\":\"me\"}" }
      ]
      const messages: ReadonlyArray<ChatMessage.ChatMessage> = [
        user("When?"),
        { role: "assistant", content: "I look.", toolCalls, reasoning: "hm" },
        toolResult("call_1", "Paris"),
        toolResult("call_0", "12:00"),
        assistant("At noon."),
        user("Where?"),
        assistant("In Paris."),
        ...turns(3, 3)
      ]

      yield* compact(window, { system: undefined, messages, newMessages: [user("now")] })

      const [request] = yield* requests
      assert.deepStrictEqual(sent(request), [
        "user: When?",
        "assistant: I look.\n\n[Called time with {}]\n\n[Called place with {\"of\":\"me\"}]\n\n" +
        "[Result of place: Paris]\n\n[Result of time: 12:00]\n\nAt noon.",
        "user: Where?",
        "assistant: In Paris.",
        "user: Sum up"
      ])
      assert.notInclude(JSON.stringify(request?.body), "tool_call")
    }).pipe(Effect.provide(numbered)))

  it.effect("ignores a summary of another history", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 })
      const stale = { text: "of more than there is", replaces: 10 }

      const sent = yield* HistoryWindow.assemble(window, input(turns(1, 1), stale))

      assert.deepStrictEqual(sent, [system("S"), ...turns(1, 1), user("now")])
    }))

  it.effect("still sends its summary when it shrinks", () =>
    Effect.gen(function*() {
      const { shrink } = HistoryWindow.withShrink(HistoryWindow.summarize({ when: { turns: 9 }, keep: 4 }))
      assert.isDefined(shrink)

      const sent = yield* HistoryWindow.assemble(shrink, input(turns(1, 6), { text: "so far", replaces: 4 }))

      assert.deepStrictEqual(sent.map(({ content }) => content), [
        "S",
        "Summarize our conversation so far.",
        "so far",
        ...turns(5, 6).map(({ content }) => content),
        "now"
      ])
    }))

  it.effect.prop(
    "sends each turn either as it was or in a summary, and calls the model once in so many turns",
    [
      FastCheck.array(FastCheck.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 25 }),
      FastCheck.integer({ min: 1, max: 5 }),
      FastCheck.integer({ min: 1, max: 5 })
    ],
    ([sizes, keep, more]) =>
      Effect.gen(function*() {
        const window = HistoryWindow.summarize({ when: { turns: keep + more }, keep })
        let summary: HistoryWindow.Summary | undefined
        let calls = 0
        const messages: Array<ChatMessage.ChatMessage> = []
        const ask = yield* complete
        const counted: HistoryWindow.Complete = (request) => Effect.suspend(() => (calls++, ask(request)))
        for (const size of sizes) {
          const now = input([...messages], summary)

          const made = yield* window.compact?.(now, counted) ?? Effect.succeedNone
          summary = Option.getOrElse(made, () => summary)
          const sent = yield* HistoryWindow.assemble(window, { ...now, summary })

          const replaced = summary?.replaces ?? 0
          assert.deepStrictEqual(sent.slice(summary === undefined ? 1 : 3), [...messages.slice(replaced), user("now")])
          assert.isAtMost(messages.length - replaced, 2 * (keep + more))
          messages.push(user("x".repeat(size)), assistant("y"))
        }
        const before = sizes.length - 1
        assert.strictEqual(calls, Math.max(0, Math.ceil((before - keep - more) / (more + 1))))
      }).pipe(Effect.provide(numbered)),
    { fastCheck: { numRuns: 30 } }
  )

  it("reads a stored summary back", () => {
    const summary = { text: "so far", replaces: 6 }

    const read = Schema.decodeUnknownSync(HistoryWindow.Summary)(JSON.parse(JSON.stringify(summary)))

    assert.deepStrictEqual(read, summary)
  })

  const refused: ReadonlyArray<readonly [string, HistoryWindow.SummarizeOptions, string]> = [
    ["no limit at all", { when: {}, keep: 1 }, "when needs turns or tokens"],
    ["a limit that is none", { when: { turns: 0 }, keep: 1 }, "[\"turns\"]"],
    ["a budget that is no number", { when: { tokens: Number.NaN }, keep: 1 }, "NaN"],
    ["keeping nothing", { when: { tokens: 1000 }, keep: 0 }, "actual 0"],
    ["keeping as many turns as the limit allows", { when: { turns: 4 }, keep: 4 }, "fewer than when.turns, which is 4"],
    ["a blank instruction", { when: { turns: 4 }, keep: 1, instruction: "" }, "[\"instruction\"]"],
    ["a blank model", { when: { turns: 4 }, keep: 1, model: " " }, "[\"model\"]"]
  ]
  for (const [what, options, reason] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => HistoryWindow.summarize(options), ParseResult.ParseError, reason)
    })
  }
})
