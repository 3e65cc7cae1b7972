import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { ChatMessage } from "effect-chat"
import * as HistoryWindow from "effect-chat/HistoryWindow"
import { isTailEnough } from "../../../src/internal/window/tail.ts"

const { assistant, audio, fileId, imageUrl, text, toolResult, user } = ChatMessage

const words = (count: number): string => "word ".repeat(count)

const media = [imageUrl("https://example.com/a.png"), audio(new Uint8Array(90_000), "mp3"), fileId("f")]

const turn = FastCheck.tuple(FastCheck.nat({ max: 100 }), FastCheck.nat({ max: 5 })).map(
  ([count, kind]): ReadonlyArray<ChatMessage.ChatMessage> => {
    const part = media[kind]
    if (part !== undefined) return [user([text(words(count)), part]), assistant(words(count))]
    if (kind > 3) return [user(words(count)), assistant(words(count))]
    return [
      user(words(count)),
      { role: "assistant", content: "", toolCalls: [{ id: "call_0", name: "look", arguments: "{}" }] },
      toolResult("call_0", words(count)),
      assistant("done")
    ]
  }
)

/** A history whose last turn may lack the result of a tool. */
const history = FastCheck.tuple(FastCheck.array(turn, { minLength: 1, maxLength: 60 }), FastCheck.boolean()).map(
  ([turns, isWaiting]) =>
    isWaiting
      ? {
        turns: [...turns, [user("look"), {
          role: "assistant" as const,
          content: "",
          toolCalls: [{ id: "call_0", name: "look", arguments: "{}" }]
        }]],
        newMessages: [toolResult("call_0", "found")]
      }
      : { turns, newMessages: [user("now")] }
)

const limit = FastCheck.integer({ min: 1, max: 30 })
const budget = FastCheck.integer({ min: 10, max: 5000 })

const windows: FastCheck.Arbitrary<HistoryWindow.HistoryWindow> = FastCheck.oneof(
  limit.map((turns) => HistoryWindow.lastTurns(turns)),
  limit.map((turns) => HistoryWindow.lastTurns(turns, { exact: true })),
  budget.map((tokens) => HistoryWindow.tokens(tokens)),
  budget.map((tokens) => HistoryWindow.tokens(tokens, { exact: true })),
  FastCheck.tuple(limit, budget).map(([turns, tokens]) =>
    HistoryWindow.withoutOldMedia(turns, HistoryWindow.tokens(tokens))
  )
).chain((window) =>
  FastCheck.constantFrom(window, HistoryWindow.withShrink(window), HistoryWindow.withShrink(window).shrink ?? window)
)

/** The last `count` turns, with the index of the first of them. */
const tailOf = (
  { newMessages, turns }: {
    readonly turns: ReadonlyArray<ReadonlyArray<ChatMessage.ChatMessage>>
    readonly newMessages: HistoryWindow.Input["newMessages"]
  },
  count: number
): HistoryWindow.Input => ({
  system: undefined,
  messages: turns.slice(turns.length - count).flat(),
  newMessages,
  offset: turns.length - count
})

const sent = (window: HistoryWindow.HistoryWindow, input: HistoryWindow.Input) =>
  Effect.runSync(HistoryWindow.assemble(window, input))

describe("isTailEnough", () => {
  it.prop("is true only for tails with the same selection as the complete history", [
    windows,
    history
  ], ([window, history]) => {
    const { atMost } = window
    assert.isDefined(atMost)
    const count = history.turns.findIndex((_, index) => isTailEnough(atMost, tailOf(history, index)))
    if (count === -1) return

    assert.deepStrictEqual(sent(window, tailOf(history, count)), sent(window, tailOf(history, history.turns.length)))
  })

  it.prop("needs only the turns that a window of turns sends, and the turn that the new messages continue", [
    limit,
    history
  ], ([limit, history]) => {
    const needed = limit + (history.newMessages[0]?.role === "tool" ? 1 : 0)

    assert.strictEqual(
      isTailEnough({ turns: limit }, tailOf(history, history.turns.length)),
      history.turns.length >= needed
    )
    if (history.turns.length >= needed) assert.isTrue(isTailEnough({ turns: limit }, tailOf(history, needed)))
  })

  it("reads only as much of a long history as the window needs", () => {
    const turns = Array.from({ length: 10_000 }, () => [user(words(40)), assistant(words(40))])
    const { atMost } = HistoryWindow.tokens(1000)
    assert.isDefined(atMost)

    assert.isFalse(isTailEnough(atMost, tailOf({ turns, newMessages: [user("now")] }, 8)))
    assert.isTrue(isTailEnough(atMost, tailOf({ turns, newMessages: [user("now")] }, 10)))
  })

  it("is false for a tail that starts within a turn", () => {
    const messages = [toolResult("call_0", "found"), assistant("done")]

    assert.isFalse(isTailEnough({ turns: 1 }, { messages, newMessages: [user("now")], offset: 3 }))
  })

  it("is false for a tail without the start of the turn that the new messages continue", () => {
    const toolCalls = [{ id: "call_1", name: "look", arguments: "{}" }]
    const messages: ReadonlyArray<ChatMessage.ChatMessage> = [
      toolResult("call_0", words(40)),
      { role: "assistant", content: "", toolCalls }
    ]
    const newMessages = [toolResult("call_1", "found")]

    assert.isFalse(isTailEnough({ tokens: 10 }, { messages, newMessages, offset: 3 }))
    assert.isTrue(
      isTailEnough({ tokens: 10 }, { messages: [user("look"), ...messages.slice(1)], newMessages, offset: 3 })
    )
  })
})

describe("A window on the end of a history", () => {
  it("never starts within a turn", () => {
    const messages = [assistant("done"), user("two"), assistant("2")]

    const all = sent(HistoryWindow.lastTurns(9), { system: undefined, messages, newMessages: [user("now")], offset: 3 })

    assert.deepStrictEqual(all, [user("two"), assistant("2"), user("now")])
  })
})
