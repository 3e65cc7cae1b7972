import { assert, describe, it } from "@effect/vitest"
import { Effect, ParseResult } from "effect"
import { ChatError, ChatMessage } from "effect-chat"
import * as HistoryWindow from "effect-chat/HistoryWindow"
import * as GptTokenizer from "effect-chat/tokens/GptTokenizer"

const { assistant, audio, fileData, fileId, imageData, imageUrl, text, toolResult, user } = ChatMessage

const picture = imageData(new Uint8Array(300_000), "image/png")

const look = (turn: number): ReadonlyArray<ChatMessage.ChatMessage> => [
  user([text(`picture ${turn}`), picture]),
  assistant(`seen ${turn}`)
]

const looks = (from: number, to: number): ReadonlyArray<ChatMessage.ChatMessage> =>
  Array.from({ length: to - from + 1 }, (_, index) => look(from + index)).flat()

const omitted = (turn: number): ReadonlyArray<ChatMessage.ChatMessage> => [
  user([text(`picture ${turn}`), text("[image omitted]")]),
  assistant(`seen ${turn}`)
]

const sent = (
  window: HistoryWindow.HistoryWindow,
  messages: ReadonlyArray<ChatMessage.ChatMessage>,
  newMessages: HistoryWindow.Input["newMessages"] = [user("now")]
) => Effect.runSync(HistoryWindow.assemble(window, { system: undefined, messages, newMessages }))

describe("HistoryWindow.withoutOldMedia", () => {
  it("sends media in the last turns only, of which the new one is the first", () => {
    const newMessages = [user([text("and this?"), picture])]

    assert.deepStrictEqual(sent(HistoryWindow.withoutOldMedia(1), looks(1, 2), newMessages), [
      ...omitted(1),
      ...omitted(2),
      ...newMessages
    ])
    assert.deepStrictEqual(sent(HistoryWindow.withoutOldMedia(2), looks(1, 2), newMessages), [
      ...omitted(1),
      ...look(2),
      ...newMessages
    ])
    assert.deepStrictEqual(sent(HistoryWindow.withoutOldMedia(3), looks(1, 2), newMessages), [
      ...looks(1, 2),
      ...newMessages
    ])
  })

  it("says what kind of media was there", () => {
    const parts = [
      text("all"),
      imageUrl("https://example.com/a.png"),
      audio(new Uint8Array(3), "wav"),
      fileId("f"),
      fileData(new Uint8Array(3), "a.pdf", "application/pdf")
    ]

    const [message] = sent(HistoryWindow.withoutOldMedia(1), [user(parts), assistant("ok")])

    assert.deepStrictEqual(message, {
      role: "user",
      content: ["all", "[image omitted]", "[audio omitted]", "[file omitted]", "[file omitted: a.pdf]"].map(text)
    })
  })

  it("counts the turn that tool results continue as the new one", () => {
    const toolCalls = [{ id: "c", name: "zoom", arguments: "{}" }]
    const waiting: ReadonlyArray<ChatMessage.ChatMessage> = [
      user([text("what is it?"), picture]),
      { role: "assistant", content: "", toolCalls }
    ]
    const newMessages = [toolResult("c", "larger")]

    assert.deepStrictEqual(sent(HistoryWindow.withoutOldMedia(1), [...look(1), ...waiting], newMessages), [
      ...omitted(1),
      ...waiting,
      ...newMessages
    ])
  })

  it("lets the other window select from the history without old media", () => {
    const window = HistoryWindow.tokens(1000)

    assert.lengthOf(sent(window, looks(1, 10)), 3)
    assert.lengthOf(sent(HistoryWindow.withoutOldMedia(1, window), looks(1, 10)), 21)
    assert.deepStrictEqual(sent(HistoryWindow.withoutOldMedia(2, HistoryWindow.lastTurns(2)), looks(1, 3)), [
      ...omitted(2),
      ...look(3),
      user("now")
    ])
  })

  it("accepts a window that already leaves out media", () => {
    const window = HistoryWindow.withoutOldMedia(2, HistoryWindow.withoutOldMedia(1, HistoryWindow.lastTurns(2)))
    assert.deepStrictEqual(sent(window, looks(1, 3)), [...omitted(2), ...omitted(3), user("now")])
  })

  it("leaves old media out of smaller windows as well", () => {
    for (
      const window of [
        HistoryWindow.withShrink(HistoryWindow.withoutOldMedia(1)),
        HistoryWindow.withoutOldMedia(1, HistoryWindow.withShrink(HistoryWindow.all))
      ]
    ) {
      const { shrink } = window
      assert.isDefined(shrink)

      assert.deepStrictEqual(sent(shrink, looks(1, 4)), [...omitted(3), ...omitted(4), user("now")])
      assert.deepStrictEqual(sent(shrink.shrink ?? window, looks(1, 4)), [...omitted(4), user("now")])
    }
  })

  it.effect("leaves old media out of what is summarized, and sends the summary", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.withoutOldMedia(1, HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 }))
      const input = { system: undefined, messages: looks(1, 3), newMessages: [user("now")] }
      const asked: Array<ChatMessage.ChatMessage> = []

      yield* window.compact?.(input, ({ messages }) => {
        asked.push(...messages)
        return Effect.fail(new ChatError.ServerError({ message: "down" }))
      }) ?? Effect.succeedNone
      const sent = yield* HistoryWindow.assemble(window, { ...input, summary: { text: "so far", replaces: 4 } })

      assert.deepStrictEqual(asked.slice(0, 4), [...omitted(1), ...omitted(2)])
      assert.deepStrictEqual(sent.slice(1), [assistant("so far"), ...omitted(3), user("now")])
    }))

  it.effect("gives counters the same message in every turn, so that they count it once", () =>
    Effect.gen(function*() {
      const counter = yield* GptTokenizer.make()
      const seen: Array<ChatMessage.ChatMessage> = []
      const window = HistoryWindow.withoutOldMedia(
        1,
        HistoryWindow.tokens(9000, { count: (message) => (seen.push(message), counter.count(message)) })
      )
      const messages = looks(1, 2)

      sent(window, messages)
      const first = seen.splice(0)
      sent(window, messages)

      assert.lengthOf(first, 5)
      assert.isTrue(first.slice(1).every((message, index) => message === seen[index + 1]))
    }))

  it("does not change its history", () => {
    const messages = looks(1, 2)
    sent(HistoryWindow.withoutOldMedia(1), messages)
    assert.deepStrictEqual(messages, looks(1, 2))
  })

  it("needs as much of the history's end as the other window", () => {
    assert.deepStrictEqual(HistoryWindow.withoutOldMedia(2, HistoryWindow.lastTurns(5)).atMost, { turns: 5 })
    assert.isUndefined(HistoryWindow.withoutOldMedia(2).atMost)
  })

  for (const turns of [0, -1, 1.5, Number.NaN]) {
    it(`refuses ${turns}`, () => {
      assert.throws(() => HistoryWindow.withoutOldMedia(turns), ParseResult.ParseError, String(turns))
    })
  }
})

describe("An image", () => {
  it("counts the tokens of an image, not those of its bytes", () => {
    const messages = [user("my name is Ada"), assistant("Hello"), ...look(1)]
    assert.lengthOf(sent(HistoryWindow.tokens(2000), messages), 5)
  })
})
