import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { ChatMessage } from "effect-chat"
import * as HistoryWindow from "effect-chat/HistoryWindow"
import * as GptTokenizer from "effect-chat/tokens/GptTokenizer"
import * as TokenCounter from "effect-chat/tokens/TokenCounter"
import { countTokens, encode } from "gpt-tokenizer/encoding/o200k_base"

const { assistant, audio, fileData, fileId, imageUrl, toolResult, user } = ChatMessage

const english = "The quick brown fox jumps over the lazy dog, and then the sun sets slowly behind the distant hills."
const chinese = "你是一个严谨的助手。请根据以下材料回答问题,并说明你的推理过程,如果材料不足请直接说明。"

const samples: Readonly<Record<string, string>> = {
  English: english,
  Chinese: chinese,
  Japanese:
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。ニャーニャー泣いていた事だけは記憶している。",
  Korean: "안녕하세요. 오늘 날씨가 정말 좋네요. 우리는 공원에 가서 산책을 하고 커피를 마실 예정입니다.",
  Russian: "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.",
  German: "Die Würde des Menschen ist unantastbar. Sie zu achten und zu schützen ist Verpflichtung aller Gewalt.",
  code: "export const count = (text: string): number => {\n  let sum = 0\n  for (const c of text) sum += c.length\n}\n",
  JSON: JSON.stringify({ name: "count", items: [1, 2, { done: true }], url: "https://example.com/a/b?c=d" })
}

describe("TokenCounter", () => {
  const { count } = TokenCounter.estimate

  for (const [name, text] of Object.entries(samples)) {
    it(`estimates ${name} close enough`, () => {
      const ratio = TokenCounter.estimateText(text) / countTokens(text)
      assert.isAtLeast(ratio, 0.85)
      assert.isAtMost(ratio, 1.75)
    })
  }

  it("estimates a token for a Chinese character and a quarter for a Latin letter", () => {
    assert.strictEqual(TokenCounter.estimateText("汉字"), 2)
    assert.strictEqual(TokenCounter.estimateText("abcdefgh"), 2)
    assert.strictEqual(TokenCounter.estimateText("1+1="), 2)
    assert.strictEqual(TokenCounter.estimateText("мир!"), 2)
    assert.strictEqual(TokenCounter.estimateText(""), 0)
  })

  it("counts the overhead of each message", () => {
    assert.strictEqual(count(user("")), 4)
    assert.strictEqual(count(toolResult("call_1", "abcd")), 5)
  })

  it("counts tool calls, a refusal and reasoning", () => {
    const toolCalls = [{ id: "c", name: "look", arguments: "abcdefgh" }]
    assert.strictEqual(count({ ...assistant(""), toolCalls }), 4 + 4 + 1 + 2)
    assert.strictEqual(count({ ...assistant("abcd"), refusal: "abcd", reasoning: "abcd" }), 4 + 3)
  })

  it("leaves reasoning out if the options say so", () => {
    const { count } = TokenCounter.make({ reasoning: false })
    assert.strictEqual(count({ ...assistant("abcd"), reasoning: "abcd" }), 5)
  })

  it("counts the same for an image of any size, and less for low detail", () => {
    const large = `data:image/png;base64,${"A".repeat(1_000_000)}`
    assert.strictEqual(count(user([imageUrl("https://example.com/a.png")])), 769)
    assert.strictEqual(count(user([imageUrl(large)])), 769)
    assert.strictEqual(count(user([imageUrl(large, "low")])), 89)
    assert.strictEqual(TokenCounter.make({ image: 1000 }).count(user([imageUrl(large, "low")])), 1004)
  })

  it("counts recordings and files by their size", () => {
    const second = new Uint8Array(16_000)
    assert.strictEqual(count(user([audio(second, "mp3")])), 4 + 11)
    assert.strictEqual(count(user([audio(second, "wav")])), 4 + 4)
    assert.strictEqual(count(user([fileId("f")])), 4 + 1500)
    assert.isAbove(count(user([fileData(new Uint8Array(1_000_000), "a.pdf", "application/pdf")])), 40_000)
  })

  it("uses a custom count of texts", () => {
    const { count } = TokenCounter.make({ text: (text) => text.length })
    assert.strictEqual(count(user([{ type: "text", text: "abc" }, { type: "text", text: "de" }])), 9)
  })
})

describe("GptTokenizer", () => {
  it.effect("counts as OpenAI's encoding does", () =>
    Effect.gen(function*() {
      const { count } = yield* GptTokenizer.make()

      for (const text of Object.values(samples)) assert.strictEqual(count(user(text)), 4 + encode(text).length)
    }))

  it.effect("counts the names of control tokens as text", () =>
    Effect.gen(function*() {
      const { count } = yield* GptTokenizer.make()

      assert.isAbove(count(user("<|endoftext|>")), 5)
    }))

  it.effect("accepts lone surrogates", () =>
    Effect.gen(function*() {
      const { count } = yield* GptTokenizer.make()

      assert.isAbove(count(user("\ud800x")), 4)
    }))

  it.effect.prop("counts long texts within a token for each 1000 characters", [
    FastCheck.array(FastCheck.constantFrom(...Object.values(samples)), { minLength: 20, maxLength: 60 })
  ], ([parts]) =>
    Effect.gen(function*() {
      const { count } = yield* GptTokenizer.make()
      const text = parts.join(" ")

      const difference = count(user(text)) - 4 - encode(text).length

      assert.isAtMost(Math.abs(difference), text.length / 1000 + 1)
    }), { fastCheck: { numRuns: 20 } })

  it.effect(
    "takes the same time for a repeated character as for any text of that length",
    () =>
      Effect.gen(function*() {
        const { count } = yield* GptTokenizer.make()

        assert.strictEqual(count(user("汉".repeat(1_000_000))), 4 + 1_000_000)
      }),
    20_000
  )

  it.effect("counts a message once", () =>
    Effect.gen(function*() {
      const { count } = yield* GptTokenizer.make()
      let reads = 0
      const message: ChatMessage.UserMessage = {
        role: "user",
        get content() {
          reads++
          return english
        }
      }

      const counts = [count(message), count(message)]

      assert.strictEqual(counts[0], counts[1])
      assert.strictEqual(reads, 1)
    }))

  it.effect("counts for a window", () =>
    Effect.gen(function*() {
      const counter = yield* GptTokenizer.make({ reasoning: false })
      const messages = [user(english), assistant(chinese), user("Hi"), { ...assistant("Hello!"), reasoning: english }]

      const selection = yield* HistoryWindow.tokens(20, counter).select({
        system: undefined,
        messages,
        newMessages: [user("Bye")]
      })

      assert.strictEqual(selection.start, 2)
    }))
})
