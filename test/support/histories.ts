/**
 * Arbitrary histories: all that can be stored, imported, cut by a window or left by an interrupted turn.
 */
import { FastCheck as fc } from "effect"
import type { ChatMessage, ChatResponse } from "effect-chat"

const texts = fc.oneof(
  fc.constantFrom("", " \n", "hi", "\ud83d", "a\ude00b", "🎉", "\\ud83d", "\"\\ud83d\""),
  fc.string({ maxLength: 5 }),
  fc.string({ unit: "binary", maxLength: 5 })
)

const ids = fc.oneof(
  fc.constantFrom("", "call_0", "call_1", "call_1_1", "functions.f:0", "abcDEF123", "x".repeat(41), "\ud83d"),
  fc.string({ maxLength: 3 })
)

const names = fc.constantFrom("f", "g", "", "get time", "mcp.tool/x", "名", "n".repeat(70))

const argumentTexts = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "{}",
    " {\"a\":1}\n",
    "[1]",
    "null",
    "7",
    "\"x\"",
    "\"{\\\"a\\\":1}\"",
    "{\"a\":",
    "{'a':1}"
  ),
  fc.constantFrom(
    "\ud83d",
    "{\"a\":\"\ud83d\"}",
    "{\"a\":\"\\ud83d\"}",
    "{\"a\":\"\\uD83D\\uDE00\"}",
    "{\"a\":\"\\\\ud83d\"}",
    "\"\\ud83d\"",
    "[\"\\ud83d\"]",
    "{\"\\udc00\":1}"
  ),
  fc.json({ maxDepth: 2 })
)

/** The origin and model of the requests, and others. */
export const origin = "http://server.test"
export const model = "m1"

const extra = fc.option(fc.constant({ extra_content: { signature: "call-signature" } }), { nil: undefined })

const calls: fc.Arbitrary<ReadonlyArray<ChatResponse.ToolCall>> = fc.array(
  fc.record({ id: ids, name: names, arguments: argumentTexts, extra }),
  { maxLength: 3 }
)

const opaque: fc.Arbitrary<ChatResponse.Opaque> = fc.record({
  origin: fc.constantFrom(origin, "http://other.test"),
  model: fc.constantFrom(model, "m2"),
  fields: fc.constantFrom<ChatResponse.Opaque["fields"]>(
    {},
    { reasoning_details: [{ type: "reasoning.text", signature: "message-signature" }] },
    { content: [{ type: "thinking", thinking: [], signature: "message-signature" }] }
  )
})

const part: fc.Arbitrary<ChatMessage.ContentPart> = fc.oneof(
  fc.record({ type: fc.constant("text" as const), text: texts }),
  fc.constant({ type: "image" as const, url: "https://images.test/a.png" })
)

const optional = <A>(arbitrary: fc.Arbitrary<A>) => fc.option(arbitrary, { nil: undefined })

/** Any message. */
export const message: fc.Arbitrary<ChatMessage.ChatMessage> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ role: fc.constant("system" as const), content: texts }) },
  {
    weight: 3,
    arbitrary: fc.record({
      role: fc.constant("user" as const),
      content: fc.oneof(texts, fc.array(part, { maxLength: 3 })),
      name: optional(fc.constantFrom("ada", "bob", "", "a <b>\ud83d"))
    })
  },
  {
    weight: 4,
    arbitrary: fc.record({
      role: fc.constant("assistant" as const),
      content: texts,
      reasoning: optional(texts),
      refusal: optional(texts),
      toolCalls: optional(calls),
      opaque: optional(opaque)
    })
  },
  { weight: 4, arbitrary: fc.record({ role: fc.constant("tool" as const), toolCallId: ids, content: texts }) }
)

/** Any history. */
export const history: fc.Arbitrary<ReadonlyArray<ChatMessage.ChatMessage>> = fc.array(message, { maxLength: 12 })
