import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { type ChatEvent, LLMConfig } from "effect-chat"
import { plainTextOf } from "../../../src/internal/decode/chunk.ts"
import { Decoder, type Problem } from "../../../src/internal/decode/decoder.ts"
import * as Template from "../../../src/internal/decode/template.ts"
import { cases, isPresent } from "../../support/corpus.ts"
import { choose, mutate } from "../../support/mutate.ts"
import { generator } from "../../support/playback.ts"

const event = (content: unknown, members: object = {}, choice: object = {}): string =>
  `data: ${
    JSON.stringify({ id: "c", model: "m", ...members, choices: [{ index: 0, delta: { content }, ...choice }] })
  }\n\n`

const texts = (patterns: ReadonlyArray<string>, text: string, maxEventSize = 1000) => {
  const template = Template.make(maxEventSize, plainTextOf)
  const emitted: Array<string> = []
  for (const event of patterns) template.learn(event)
  const end = template.read(text, 0, (content) => emitted.push(content))
  return { emitted, rest: text.slice(end) }
}

describe("template", () => {
  it("returns the text of every event that repeats the pattern", () => {
    const contents = ["a", " b", "", "line\n\ttab", "中文 😀", "a \\ that is long enough to be copied"]
    assert.deepStrictEqual(texts([event("first")], contents.map((text) => event(text)).join("")), {
      emitted: contents.filter((text) => text !== ""),
      rest: ""
    })
  })

  it("stops at an event that has more members, another form, or is cut off", () => {
    const differentEvents = [
      event("b", { model: "n" }),
      event("b", {}, { finish_reason: "stop" }),
      event("b").replace("data: ", "data:"),
      event("a \"quote\""),
      event("b").slice(0, -1),
      event("b").replace("\"b\"", "\"\n\""),
      event("b").replace("\"b\"", "\"\\x\""),
      event(null),
      ": comment\n\n"
    ]
    for (const different of differentEvents) {
      assert.deepStrictEqual(texts([event("a")], event("a") + different), { emitted: ["a"], rest: different })
    }
  })

  it("does not use an event with other data as a pattern", () => {
    const differentEvents = [
      event("a", { usage: { prompt_tokens: 1 } }),
      event("a", {}, { finish_reason: "stop" }),
      event("a", {}, { index: 1 }),
      event("a", {}, { delta: { content: "a", reasoning: "b" } }),
      event("a", {}, { delta: { content: "a", refusal: "b" } }),
      event("a", {}, { delta: { content: "a", function_call: { name: "f" } } }),
      event("a", {}, { delta: { content: "a", tool_calls: [{ index: 0, function: { arguments: "" } }] } }),
      `event: message\n${event("a")}`,
      event("a").replace("\n\n", "\n: comment\n\n"),
      event("effect-chat"),
      event("a", { meta: { content: "b" } }).replace("{\"id\"", "{\"meta\":{\"content\":\"c\"},\"id\"")
    ]
    for (const different of differentEvents) {
      assert.deepStrictEqual(texts([different], different), { emitted: [], rest: different })
    }
  })

  it("leaves an event that is too long to the decoder", () => {
    const longEvent = event("b".repeat(1000))
    assert.deepStrictEqual(texts([event("a")], event("a") + longEvent), { emitted: ["a"], rest: longEvent })
  })

  it("is not learned again from an event that matches it", () => {
    const template = Template.make(1000, plainTextOf)
    template.learn(event("a"))
    template.learn(event("a \"quote\""))
    assert.strictEqual(template.read(event("b"), 0, () => {}), event("b").length)
  })

  it("is learned less and less often if no event matches", () => {
    let attempts = 0
    const template = Template.make(1000, (chunk) => {
      attempts++
      return plainTextOf(chunk)
    })
    for (let n = 0; n < 1000; n++) template.learn(event("a", { nonce: n }))
    assert.isBelow(attempts, 15)
  })
})

interface Decoded {
  readonly events: ReadonlyArray<ChatEvent.ChatEvent>
  readonly problem: Problem | undefined
  readonly partial: unknown
}

const baseUrl = "http://server.test/v1"
const config = LLMConfig.make({ baseUrl })
const withTags = LLMConfig.make({ baseUrl, wire: { thinkTags: true } })
const withShortEvents = LLMConfig.make({ baseUrl, maxEventSize: 300 })

const decode = (chunks: ReadonlyArray<Uint8Array>, settings: LLMConfig.LLMConfig): Decoded => {
  const decoder = new Decoder(settings, () => "text/event-stream")
  const events: Array<ChatEvent.ChatEvent> = []
  const problem = chunks.reduce<Problem | undefined>(
    (problem, chunk) => problem ?? decoder.push(chunk, events),
    undefined
  )
  return { events, problem: problem ?? decoder.end(events), partial: decoder.partial }
}

/** Chunks without the end of an event, for which the template is never used. */
const lines = (body: Uint8Array): ReadonlyArray<Uint8Array> => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < body.length;) {
    const end = body.indexOf(10, at)
    const next = end === -1 ? body.length : end + 1
    chunks.push(body.subarray(at, next))
    at = next
  }
  return chunks
}

const agree = (body: Uint8Array, settings = config): void =>
  assert.deepStrictEqual(decode([body], settings), decode(lines(body), settings))

const contents = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 30 }),
  fc.string({ unit: "binary", maxLength: 4 }),
  fc.constantFrom("", "effect-chat", "<think>", "</think>", "\n", "\"", "\\")
)

const eventText = fc.oneof(
  { weight: 12, arbitrary: contents.map((text) => event(text)) },
  { weight: 2, arbitrary: contents.map((text) => event(text, { created: 1 })) },
  { weight: 1, arbitrary: fc.nat(9).map((n) => event("x", { obfuscation: "a".repeat(n) })) },
  { weight: 1, arbitrary: contents.map((text) => event(text, {}, { delta: { content: "", reasoning: text } })) },
  { weight: 1, arbitrary: contents.map((text) => event(text, {}, { message: { content: text } })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ": comment\n\n",
      "\n",
      event(null),
      event("a", { usage: { prompt_tokens: 1 } }),
      event("a", {}, { finish_reason: "stop" }),
      event("a", {}, { finish_reason: "" }),
      event("", {}, { delta: { content: "", tool_calls: [{ index: 0, id: "t", function: { name: "f" } }] } }),
      event("", {}, { delta: { content: "", tool_calls: [{ index: 0, function: { arguments: "{}" } }] } }),
      event("x").replace("\n\n", "\r\n\r\n"),
      "data: [DONE]\n\n"
    )
  }
)

describe("the template and the decoder", () => {
  it.prop(
    "agree on events of all kinds",
    [fc.array(eventText, { maxLength: 40 }), fc.boolean()],
    ([events, thinkTags]) => {
      agree(new TextEncoder().encode(events.join("")), thinkTags ? withTags : config)
    },
    { fastCheck: { numRuns: 1000 } }
  )

  describe.skipIf(!isPresent)("agree on recordings", () => {
    const bodies = cases.filter((recorded) => recorded.stream && recorded.status === 200).map(({ body }) => body)
    it("without changes", () => {
      for (const body of bodies) agree(body)
    })

    it("with events that are too long", () => {
      for (const body of bodies) agree(body, withShortEvents)
    })

    it("with bytes that are lost, duplicated or changed", () => {
      const [first, ...rest] = bodies
      assert.isDefined(first)
      if (first === undefined) return
      for (let run = 0; run < 500; run++) {
        const random = generator(20261122 + run)
        agree(mutate(choose([first, ...rest], random), random).body)
      }
    })
  })
})
