/**
 * How windows move on while a conversation grows.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { ChatMessage } from "effect-chat"
import * as HistoryWindow from "effect-chat/HistoryWindow"
import * as TokenCounter from "effect-chat/tokens/TokenCounter"

const { assistant, toolResult, user } = ChatMessage

type Turn = ReadonlyArray<ChatMessage.ChatMessage>

const words = (count: number): string => "word ".repeat(count)

const plain = (count: number): Turn => [user(words(count)), assistant(words(count))]

const withTool = (count: number): Turn => [
  user(words(count)),
  { role: "assistant", content: "", toolCalls: [{ id: "call_0", name: "look", arguments: "{}" }] },
  toolResult("call_0", words(count)),
  assistant("done")
]

/** Turns of similar sizes, some of them with tools. */
const similarTurns = FastCheck.array(
  FastCheck.tuple(FastCheck.integer({ min: 20, max: 30 }), FastCheck.nat({ max: 4 })).map(([count, kind]) =>
    kind === 0 ? withTool(count) : plain(count)
  ),
  { minLength: 60, maxLength: 60 }
)

/** Turns of any size, some of them with tools, the first after a greeting or not. */
const anyTurns = FastCheck.array(
  FastCheck.tuple(FastCheck.nat({ max: 200 }), FastCheck.nat({ max: 4 })).map(([count, kind]) =>
    kind === 0 ? withTool(count) : plain(count)
  ),
  { minLength: 1, maxLength: 50 }
).chain((turns) =>
  FastCheck.boolean().map((isGreeted): ReadonlyArray<Turn> =>
    isGreeted ? [[assistant("Welcome!"), ...turns[0] ?? []], ...turns.slice(1)] : turns
  )
)

const newMessages = [user("now")]

const inputOf = (turns: ReadonlyArray<Turn>, offset?: number): HistoryWindow.Input => ({
  system: undefined,
  messages: turns.flat(),
  newMessages,
  offset
})

const startOf = (window: HistoryWindow.HistoryWindow, input: HistoryWindow.Input): number =>
  Effect.runSync(window.select(input)).start

const tokensOf = (messages: ReadonlyArray<ChatMessage.ChatMessage>): number =>
  messages.reduce((sum, message) => sum + TokenCounter.estimate.count(message), 0)

/** The number of turns in what is sent of the history. */
const sentTurns = (window: HistoryWindow.HistoryWindow, input: HistoryWindow.Input): number =>
  input.messages.slice(startOf(window, input)).filter(({ role }) => role === "user").length

/** How often the start changes as the last 20 of the turns are added one by one. */
const moves = (window: HistoryWindow.HistoryWindow, turns: ReadonlyArray<Turn>): number => {
  let moved = 0
  for (let count = turns.length - 20; count < turns.length; count++) {
    const before = startOf(window, inputOf(turns.slice(0, count)))
    if (startOf(window, inputOf(turns.slice(0, count + 1))) !== before) moved++
  }
  return moved
}

const limit = FastCheck.integer({ min: 1, max: 40 })
const budget = FastCheck.integer({ min: 10, max: 4000 })

const steppingWindows: FastCheck.Arbitrary<HistoryWindow.HistoryWindow> = FastCheck.oneof(
  limit.map((turns) => HistoryWindow.lastTurns(turns)),
  budget.map((tokens) => HistoryWindow.tokens(tokens)),
  budget.map((tokens) => HistoryWindow.withoutOldMedia(3, HistoryWindow.tokens(tokens)))
)

describe("HistoryWindow.lastTurns", () => {
  it.prop("never sends more turns than its limit", [limit, anyTurns], ([limit, turns]) => {
    assert.isAtMost(sentTurns(HistoryWindow.lastTurns(limit), inputOf(turns)), limit)
  })

  it.prop("sends everything that its limit allows until it is full", [limit, anyTurns], ([limit, turns]) => {
    // A greeting counts as a turn of its own.
    const count = turns.length + (turns[0]?.[0]?.role === "assistant" ? 1 : 0)
    if (count <= limit) assert.strictEqual(startOf(HistoryWindow.lastTurns(limit), inputOf(turns)), 0)
  })

  it.prop("keeps two thirds of its turns, or all but three", [limit, similarTurns], ([limit, turns]) => {
    const sent = sentTurns(HistoryWindow.lastTurns(limit), inputOf(turns))
    assert.isAtLeast(sent, Math.min(limit * 2 / 3, Math.max(1, limit - 3)))
  })

  it.prop(
    "moves its start at most 6 times in 20 turns",
    [FastCheck.integer({ min: 4, max: 30 }), similarTurns, FastCheck.nat({ max: 20 })],
    ([limit, turns, fewer]) => {
      assert.isAtMost(moves(HistoryWindow.lastTurns(limit), turns.slice(fewer === 0 ? 0 : fewer - 1)), 6)
    }
  )

  it("drops several turns at once, and then grows again", () => {
    const turns = Array.from({ length: 24 }, () => plain(1))
    const window = HistoryWindow.lastTurns(8)

    const sent = turns.map((_, index) => sentTurns(window, inputOf(turns.slice(0, index))))

    assert.deepStrictEqual(sent, [0, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7])
  })

  for (
    const [what, window, size] of [
      ["it has fewer than 4 turns", HistoryWindow.lastTurns(3), 3],
      ["it is exact", HistoryWindow.lastTurns(8, { exact: true }), 8]
    ] as const
  ) {
    it(`moves with every turn if ${what}`, () => {
      const turns = Array.from({ length: 40 }, () => plain(1))

      assert.strictEqual(moves(window, turns), 20)
      assert.strictEqual(sentTurns(window, inputOf(turns)), size)
    })
  }
})

describe("HistoryWindow.tokens", () => {
  it.prop("never sends more than its budget, unless the new messages alone do", [budget, anyTurns], ([
    budget,
    turns
  ]) => {
    const sent = Effect.runSync(HistoryWindow.assemble(HistoryWindow.tokens(budget), inputOf(turns)))
    assert.isAtMost(tokensOf(sent), Math.max(budget, tokensOf(newMessages)))
  })

  it.prop("sends everything until its budget is used", [budget, anyTurns], ([budget, turns]) => {
    const isFull = tokensOf([...turns.flat(), ...newMessages]) > budget
    if (!isFull) assert.strictEqual(startOf(HistoryWindow.tokens(budget), inputOf(turns)), 0)
  })

  it.prop("keeps two thirds of the limit, or all but three turns", [budget, anyTurns], ([budget, turns]) => {
    const input = inputOf(turns)
    const most = startOf(HistoryWindow.tokens(budget, { exact: true }), input)
    const start = startOf(HistoryWindow.tokens(budget), input)

    const room = budget - tokensOf(newMessages)
    const dropped = input.messages.slice(most, start).filter(({ role }) => role === "user").length

    assert.isAtLeast(start, most)
    if (dropped > 3) assert.isAtLeast(tokensOf(input.messages.slice(start)), room * 2 / 3)
    if (most < input.messages.length) assert.isBelow(start, input.messages.length)
  })

  it.prop(
    "moves its start at most 6 times in 20 turns of similar sizes",
    [FastCheck.integer({ min: 500, max: 3500 }), similarTurns],
    ([budget, turns]) => {
      assert.isAtMost(moves(HistoryWindow.tokens(budget), turns), 6)
    }
  )

  it("moves with every turn if it is exact", () => {
    const turns = Array.from({ length: 60 }, () => plain(25))
    assert.strictEqual(moves(HistoryWindow.tokens(1000, { exact: true }), turns), 20)
  })
})

describe("Every window that steps", () => {
  it.prop("keeps the start where it is or moves it forward while turns are added", [
    limit.map((turns) => HistoryWindow.lastTurns(turns)),
    anyTurns
  ], ([window, turns]) => {
    const starts = turns.map((_, index) => startOf(window, inputOf(turns.slice(0, index + 1))))
    starts.reduce((before, start) => (assert.isAtLeast(start, before), start))
  })

  it.prop("starts with a user message, or with the first message of the conversation", [steppingWindows, anyTurns], ([
    window,
    turns
  ]) => {
    const input = inputOf(turns)
    const start = startOf(window, input)
    if (start > 0) assert.strictEqual([...input.messages, ...newMessages][start]?.role, "user")
  })
})
