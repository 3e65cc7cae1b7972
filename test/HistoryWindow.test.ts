import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck, ParseResult } from "effect"
import { ChatMessage } from "effect-chat"
import * as HistoryWindow from "effect-chat/HistoryWindow"
import type * as TokenCounter from "effect-chat/tokens/TokenCounter"

const { assistant, system, toolResult, user } = ChatMessage

const calling = (...ids: ReadonlyArray<string>): ChatMessage.AssistantMessage => ({
  role: "assistant",
  content: "",
  toolCalls: ids.map((id) => ({ id, name: "look", arguments: "{}" }))
})

const text = FastCheck.nat({ max: 60 }).map((length) => "x".repeat(length))

/** Calls whose ids repeat in every turn, as with servers that send none. */
const ids = FastCheck.integer({ min: 1, max: 3 }).map((count) =>
  Array.from({ length: count }, (_, index) => `call_${index}`)
)

const results = (ids: ReadonlyArray<string>, content: string): Array<ChatMessage.ToolMessage> =>
  ids.map((id) => toolResult(id, content)).reverse()

/** Calls and their results, where the user may have said more before or after the results. */
const round = FastCheck.tuple(
  ids,
  text,
  FastCheck.array(text.map(user), { minLength: 2, maxLength: 2 }),
  FastCheck.nat(3)
)
  .map(([ids, content, [before, after], which]) => [
    calling(...ids),
    ...(before !== undefined && which === 1 ? [before] : []),
    ...results(ids, content),
    ...(after !== undefined && which === 2 ? [after] : [])
  ])

const turn = FastCheck.tuple(text, FastCheck.array(round, { maxLength: 2 }), text).map(([question, rounds, answer]) => [
  user(question),
  ...rounds.flat(),
  assistant(answer)
])

const turns = FastCheck.array(turn, { maxLength: 8 })

/** Histories of complete turns, and those whose last turn waits for tool results. */
const input: FastCheck.Arbitrary<HistoryWindow.Input> = FastCheck.record({
  system: FastCheck.option(text.map(system), { nil: undefined }),
  greeting: FastCheck.option(text.map(assistant), { nil: undefined }),
  turns,
  waiting: FastCheck.option(FastCheck.tuple(text, ids, text), { nil: undefined }),
  questions: FastCheck.array(text.map(user), { minLength: 1, maxLength: 2 }),
  more: FastCheck.boolean()
}).map(({ greeting, more, questions, system, turns, waiting }) => {
  const messages = [...(greeting === undefined ? [] : [greeting]), ...turns.flat()]
  if (waiting === undefined) return { system, messages, newMessages: questions }
  const [question, ids, content] = waiting
  return {
    system,
    messages: [...messages, user(question), calling(...ids)],
    newMessages: [...results(ids, content), ...(more ? questions : [])]
  }
})

/** One token for each character. */
const characters: TokenCounter.TokenCounter = {
  count: (message) => typeof message.content === "string" ? message.content.length : 0
}

const total = (messages: ReadonlyArray<ChatMessage.ChatMessage>): number =>
  messages.reduce((sum, message) => sum + message.content.length, 0)

const freeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(freeze)
  }
  return value
}

/** Whether every result follows its call, with no other answer between. */
const isPaired = (messages: ReadonlyArray<ChatMessage.ChatMessage>): boolean => {
  let open: ReadonlyArray<string> = []
  return messages.every((message) => {
    if (message.role === "assistant") open = (message.toolCalls ?? []).map((call) => call.id)
    if (message.role !== "tool") return true
    const isOpen = open.includes(message.toolCallId)
    open = open.filter((id) => id !== message.toolCallId)
    return isOpen
  })
}

/** Every index at which the sent messages can start, by the rules alone. */
const places = ({ messages, newMessages }: HistoryWindow.Input): ReadonlyArray<number> =>
  Array.from({ length: messages.length + 1 }, (_, start) => start).filter((start) => {
    const sent = [...messages.slice(start), ...newMessages]
    const isStart = start === 0 || start === messages.length || messages[start]?.role === "user"
    return isStart && isPaired(sent) && sent.some((message) => message.role === "user")
  })

/** The start of the most that fits into the budget, or of the least that must be sent. */
const reach = (input: HistoryWindow.Input, budget: number): number | undefined => {
  const all = places(input)
  const { messages, newMessages, system } = input
  const always = total(system === undefined ? newMessages : [system, ...newMessages])
  return all.find((start) => always + total(messages.slice(start)) <= budget) ?? all.at(-1)
}

const start = (window: HistoryWindow.HistoryWindow, input: HistoryWindow.Input): number =>
  Effect.runSync(window.select(input)).start

const budget = FastCheck.integer({ min: 1, max: 1200 })
const count = FastCheck.integer({ min: 1, max: 12 })

const exact = { exact: true }

const windows: FastCheck.Arbitrary<HistoryWindow.HistoryWindow> = FastCheck.oneof(
  FastCheck.constant(HistoryWindow.all),
  count.map((turns) => HistoryWindow.lastTurns(turns)),
  count.map((turns) => HistoryWindow.lastTurns(turns, exact)),
  budget.map((tokens) => HistoryWindow.tokens(tokens, characters)),
  budget.map((tokens) => HistoryWindow.tokens(tokens)),
  count.map((turns) => HistoryWindow.withoutOldMedia(turns, HistoryWindow.tokens(500))),
  count.map((keep) => HistoryWindow.summarize({ when: { turns: keep + 1 }, keep }))
).chain((window) => FastCheck.constantFrom(window, HistoryWindow.withShrink(window).shrink ?? window))

describe("HistoryWindow", () => {
  describe("every window", () => {
    it.prop("sends the system prompt, the last complete turns and the new messages", [windows, input], ([
      window,
      input
    ]) => {
      freeze(input)
      const { messages, newMessages, system } = input

      const sent = Effect.runSync(HistoryWindow.assemble(window, input))

      const front = system === undefined ? [] : [system]
      const chosen = sent.slice(front.length, sent.length - newMessages.length)
      const start = messages.length - chosen.length
      assert.deepStrictEqual(sent, [...front, ...messages.slice(start), ...newMessages])
      assert.include(places(input), start)
    })

    it.prop("never separates a call from its results", [windows, input], ([window, input]) => {
      assert.isTrue(isPaired(Effect.runSync(HistoryWindow.assemble(window, input))))
    })

    it.prop("sends the newest user message", [windows, input], ([window, input]) => {
      const isUser = (message: ChatMessage.ChatMessage) => message.role === "user"
      const newest = [...input.messages, ...input.newMessages].filter(isUser).at(-1)

      const sent = Effect.runSync(HistoryWindow.assemble(window, input))

      assert.strictEqual(sent.filter(isUser).at(-1), newest)
    })

    it.prop(
      "sends less when it shrinks, or the same if nothing can be left out",
      [windows, input],
      ([window, input]) => {
        const smaller = HistoryWindow.withShrink(window).shrink
        assert.isDefined(smaller)
        const before = start(window, input)

        const after = start(smaller, input)

        const least = places(input).at(-1) ?? 0
        const cost = total(input.messages.slice(before))
        if (before < least && cost > 0) assert.isAbove(after, before)
        else assert.isAtLeast(after, before)
      }
    )
  })

  describe("all", () => {
    it.prop("sends everything", [input], ([input]) => {
      assert.strictEqual(start(HistoryWindow.all, input), 0)
    })
  })

  describe("lastTurns", () => {
    it.prop("sends exactly that many turns, or all if there are fewer, if it is exact", [input, count], ([
      input,
      turns
    ]) => {
      const older = places(input).filter((start) => start < (places(input).at(-1) ?? 0)).reverse()

      const expected = older[turns - 1] ?? older.at(-1) ?? places(input).at(-1)

      assert.strictEqual(start(HistoryWindow.lastTurns(turns, exact), input), expected)
    })

    it.prop("sends no less for more turns, if it is exact", [input, count, count], ([input, a, b]) => {
      const [fewer, more] = a < b ? [a, b] : [b, a]
      assert.isAtMost(
        start(HistoryWindow.lastTurns(more, exact), input),
        start(HistoryWindow.lastTurns(fewer, exact), input)
      )
    })

    it("reads no more of a history than it sends, if it is exact", () => {
      let reads = 0
      const messages = new Proxy(
        Array.from({ length: 100_000 }, (_, index) => index % 2 === 0 ? user("") : assistant("")),
        {
          get: (target, key, receiver) => {
            reads++
            return Reflect.get(target, key, receiver)
          }
        }
      )

      const window = HistoryWindow.lastTurns(10, exact)

      const first = start(window, { system: undefined, messages, newMessages: [user("now")] })

      assert.strictEqual(first, 100_000 - 20)
      assert.isAtMost(reads, 30)
    })

    for (const turns of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      it(`refuses ${turns}`, () => {
        assert.throws(() => HistoryWindow.lastTurns(turns), ParseResult.ParseError, String(turns))
      })
    }
  })

  describe("tokens", () => {
    it.prop("sends as many turns as fit into the budget, if it is exact", [input, budget], ([input, budget]) => {
      const window = HistoryWindow.tokens(budget, { counter: characters, exact: true })
      assert.strictEqual(start(window, input), reach(input, budget))
    })

    it.prop("sends no less for a larger budget, if it is exact", [input, budget, budget], ([input, a, b]) => {
      const [smaller, larger] = a < b ? [a, b] : [b, a]
      assert.isAtMost(
        start(HistoryWindow.tokens(larger, exact), input),
        start(HistoryWindow.tokens(smaller, exact), input)
      )
    })

    it.effect.prop("takes counts that come later", [input, budget], ([input, budget]) =>
      Effect.gen(function*() {
        const later: TokenCounter.TokenCounter = {
          count: ({ content, role }) => role === "user" ? Effect.as(Effect.yieldNow(), content.length) : content.length
        }

        const selection = yield* HistoryWindow.tokens(budget, { counter: later, exact: true }).select(input)

        assert.strictEqual(selection.start, reach(input, budget))
      }), { fastCheck: { numRuns: 20 } })

    it("sends a message that alone exceeds the budget", () => {
      const newMessages = [user("x".repeat(1000))]
      const messages = [user("a"), assistant("b")]

      const sent = Effect.runSync(
        HistoryWindow.assemble(HistoryWindow.tokens(10), { system: system("S"), messages, newMessages })
      )

      assert.deepStrictEqual(sent, [system("S"), ...newMessages])
    })

    it("sends the turn that tool results continue, even if it exceeds the budget", () => {
      const waiting = [user("x".repeat(1000)), calling("a", "b")]
      const messages = [user("a"), assistant("b"), ...waiting]
      const newMessages = [toolResult("a", "1"), toolResult("b", "2")]

      const sent = Effect.runSync(
        HistoryWindow.assemble(HistoryWindow.tokens(10), { system: undefined, messages, newMessages })
      )

      assert.deepStrictEqual(sent, [...waiting, ...newMessages])
    })

    it("sends the newest turn if there are no new messages", () => {
      const messages = [user("a"), assistant("b"), user("x".repeat(1000)), assistant("d")]

      assert.strictEqual(start(HistoryWindow.tokens(10), { system: undefined, messages, newMessages: [] }), 2)
      assert.strictEqual(start(HistoryWindow.lastTurns(1), { system: undefined, messages, newMessages: [] }), 0)
    })

    it("sends everything if the call of a tool result is missing", () => {
      const messages = [user("a"), assistant("b"), user("c"), assistant("d")]
      const newMessages = [toolResult("unknown", "1")]

      assert.strictEqual(start(HistoryWindow.tokens(10), { system: undefined, messages, newMessages }), 0)
    })

    it("counts the messages that fit, and one more", () => {
      let counted = 0
      const counter: TokenCounter.TokenCounter = { count: () => ++counted && 1 }
      const messages = Array.from({ length: 100_000 }, (_, index) => index % 2 === 0 ? user("") : assistant(""))

      const window = HistoryWindow.tokens(21, counter)

      const first = start(window, { system: undefined, messages, newMessages: [user("now")] })

      assert.isAtLeast(first, 100_000 - 20)
      assert.strictEqual(counted, 22)
    })

    it.effect("reads a history of any length without exhausting the stack", () =>
      Effect.gen(function*() {
        const messages = Array.from({ length: 100_000 }, (_, index) => index % 2 === 0 ? user("") : assistant(""))
        const counter: TokenCounter.TokenCounter = { count: () => Effect.succeed(1) }

        const selection = yield* HistoryWindow.tokens(1e9, counter).select({
          system: undefined,
          messages,
          newMessages: [user("now")]
        })

        assert.strictEqual(selection.start, 0)
      }))

    it("sends no history if the counter returns NaN", () => {
      const counter: TokenCounter.TokenCounter = { count: () => Number.NaN }
      const messages = [user("a"), assistant("b")]

      const first = start(HistoryWindow.tokens(1000, counter), {
        system: undefined,
        messages,
        newMessages: [user("c")]
      })

      assert.strictEqual(first, 2)
    })

    for (const budget of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      it(`refuses a budget of ${budget}`, () => {
        assert.throws(() => HistoryWindow.tokens(budget), ParseResult.ParseError, String(budget))
      })
    }
  })

  describe("withShrink", () => {
    it("sends the newer half of the tokens", () => {
      const messages = [1, 2, 3, 4, 5].flatMap((turn) => [user(`question ${turn}`), assistant(`answer ${turn}`)])
      const { shrink } = HistoryWindow.withShrink(HistoryWindow.lastTurns(4, exact))
      assert.isDefined(shrink)

      const first = start(shrink, { system: system("S"), messages, newMessages: [user("now")] })

      assert.strictEqual(first, messages.length - 4)
    })

    it.prop("halves until only the new turn is left, and then chooses the same again", [windows, input], ([
      window,
      input
    ]) => {
      let smaller = HistoryWindow.withShrink(window).shrink
      const starts: Array<number> = []
      while (smaller !== undefined && starts.at(-1) !== start(smaller, input)) {
        starts.push(start(smaller, input))
        smaller = smaller.shrink
      }

      assert.isDefined(smaller)
      assert.strictEqual(starts.at(-1), places(input).at(-1))
      assert.isAtMost(starts.length, 14)
    })

    it("leaves the summary out when no turn is left to leave out", () => {
      const messages = [user("a"), assistant("b"), user("c"), assistant("d")]
      const window = HistoryWindow.withShrink(HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 }))
      const input = {
        system: undefined,
        messages,
        summary: { text: "so far", replaces: 2 },
        newMessages: [user("now")]
      }

      const halves = [window.shrink, window.shrink?.shrink].flatMap((smaller) =>
        smaller === undefined ? [] : [Effect.runSync(HistoryWindow.assemble(smaller, input))]
      )

      assert.deepStrictEqual(halves.map((sent) => sent.map(({ content }) => content)), [
        ["Summarize our conversation so far.", "so far", "now"],
        ["now"]
      ])
    })

    it("needs as much of the history's end as the larger of both windows", () => {
      const { lastTurns, tokens, withShrink } = HistoryWindow
      assert.deepStrictEqual(withShrink(lastTurns(9)).atMost, { turns: 9, tokens: 0 })
      assert.deepStrictEqual(withShrink(tokens(1000), lastTurns(3)).atMost, { turns: 3, tokens: 1000 })
      assert.isUndefined(withShrink(lastTurns(3), HistoryWindow.all).atMost)
    })

    it("accepts a given smaller window", () => {
      const smaller = HistoryWindow.lastTurns(1)
      assert.strictEqual(HistoryWindow.withShrink(HistoryWindow.all, smaller).shrink, smaller)
    })

    it("is needed for a window to shrink", () => {
      assert.isUndefined(HistoryWindow.tokens(1000).shrink)
    })
  })

  describe("assemble", () => {
    it("sends everything if a custom window returns a negative start", () => {
      const window: HistoryWindow.HistoryWindow = {
        select: ({ messages }) => Effect.succeed({ start: messages.length - 10 })
      }
      const messages = [user("a"), assistant("b")]

      const sent = Effect.runSync(
        HistoryWindow.assemble(window, { system: undefined, messages, newMessages: [user("c")] })
      )

      assert.deepStrictEqual(sent, [...messages, user("c")])
    })
  })
})
