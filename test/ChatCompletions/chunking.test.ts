import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { type ChatEvent, LLMConfig } from "effect-chat"
import { Decoder, type Problem } from "../../src/internal/decode/decoder.ts"
import { cases, isPresent } from "../support/corpus.ts"
import { cut, generator } from "../support/playback.ts"
import { runs } from "../support/runs.ts"
import { answer, complete, stream } from "../support/wire/ask.ts"
import { bytes, calls, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

const baseUrl = "http://server.test/v1"
const config = LLMConfig.make({ baseUrl })
const withTags = LLMConfig.make({ baseUrl, wire: { thinkTags: true } })

interface Decoded {
  readonly events: ReadonlyArray<ChatEvent.ChatEvent>
  readonly problem: Problem | undefined
}

const decode = (
  pieces: ReadonlyArray<Uint8Array>,
  contentType = "text/event-stream",
  settings = config
): Decoded => {
  const decoder = new Decoder(settings, () => contentType)
  const events: Array<ChatEvent.ChatEvent> = []
  for (const piece of pieces) {
    const problem = decoder.push(piece, events)
    if (problem !== undefined) return { events, problem }
    if (decoder.isDone) return { events, problem: undefined }
  }
  return { events, problem: decoder.end(events) }
}

/** Joins neighbouring deltas of the same kind, to compare texts without the boundaries of deltas. */
const joined = ({ events, problem }: Decoded): Decoded => {
  const all: Array<ChatEvent.ChatEvent> = []
  for (const event of events) {
    const last = all.at(-1)
    if (last !== undefined && last._tag === event._tag && "text" in last && "text" in event) {
      all[all.length - 1] = { ...last, text: last.text + event.text }
    } else all.push(event)
  }
  return { events: all, problem }
}

const pieceOf = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 12 }).map(says),
  fc.string({ unit: "binary", maxLength: 4 }).map(says),
  fc.string({ unit: "grapheme", maxLength: 6 }).map((text) => data(delta({ reasoning_content: text }))),
  fc.nat(2).map((index) => calls({ index, id: `t${index}`, function: { name: "f", arguments: "{\"é\":" } })),
  fc.constantFrom(
    ": keep-alive\n\n",
    "data:\n\n",
    "data: : keepalive\n\n",
    "event: message\nid: 1\nretry: 5\n",
    ": 中文 😀\n",
    "data: {nonsense}\n\n",
    "error: {\"message\":\"no\"}\n\n",
    data({ error: { message: "bad" } }),
    data({ choices: [], usage: { prompt_tokens: 1 } }),
    ends("tool_calls"),
    ends("error"),
    JSON.stringify(delta({ content: "bare" })) + "\n",
    "stray words\n"
  )
)

const lineEnds = fc.constantFrom("\n", "\r\n", "\r")

const body = fc.tuple(
  fc.constantFrom("", "\uFEFF", "\n\n", " "),
  fc.array(pieceOf, { maxLength: 12 }),
  fc.constantFrom(
    done,
    ends() + done,
    ends(),
    "",
    says("a").slice(0, 20),
    "data: [DONE]",
    JSON.stringify(completion({}))
  ),
  lineEnds
).map(([start, said, end, lineEnd]) => bytes(`${start}${said.join("")}${end}`.replaceAll("\n", lineEnd)))

const cuts = fc.array(fc.nat(), { maxLength: 40 })

const cutAt = (whole: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const at = [...new Set(places.map((place) => place % (whole.length + 1)))].sort((a, b) => a - b)
  return [...at, whole.length].map((end, i) => whole.subarray(i === 0 ? 0 : at[i - 1], end))
}

describe("chunking", () => {
  it.prop("any split of a stream gives the same events", [body, cuts], ([whole, places]) => {
    assert.deepStrictEqual(decode(cutAt(whole, places)), decode([whole]))
  }, { fastCheck: { numRuns: runs(150, 400) } })

  it.prop("a stream that arrives byte by byte gives the same events as in one piece", [body], ([whole]) => {
    assert.deepStrictEqual(decode(Array.from(whole, (byte) => Uint8Array.of(byte))), decode([whole]))
  }, { fastCheck: { numRuns: runs(50, 150) } })

  it.prop("with reasoning in tags, a split changes only the boundaries of deltas", [body, cuts], ([whole, places]) => {
    const pieces = cutAt(whole, places)
    assert.deepStrictEqual(joined(decode(pieces, undefined, withTags)), joined(decode([whole], undefined, withTags)))
  }, { fastCheck: { numRuns: runs(50, 150) } })

  it.prop("a split gives the same events with a wrong content type", [body, cuts], ([whole, places]) => {
    const contentType = "application/json"
    assert.deepStrictEqual(decode(cutAt(whole, places), contentType), decode([whole], contentType))
  }, { fastCheck: { numRuns: runs(50, 150) } })

  it.prop(
    "any bytes give events or an error, and never a defect",
    [fc.uint8Array({ maxLength: 200 })],
    ([noise]) => {
      const { events, problem } = decode([noise])
      assert.isTrue(problem !== undefined || events.at(-1)?._tag === "Finish")
    }
  )

  it.prop(
    "an error or Finish is the last event, and Finish is emitted once",
    [body, cuts],
    ([whole, places]) => {
      const { events, problem } = decode(cutAt(whole, places))
      const finishes = events.filter((event) => event._tag === "Finish")
      assert.lengthOf(finishes, problem === undefined ? 1 : 0)
      if (problem === undefined) assert.strictEqual(events.at(-1)?._tag, "Finish")
    }
  )

  describe.skipIf(!isPresent)("of recordings", () => {
    const streams = cases.filter((recorded) => recorded.stream)
    for (const recorded of streams) {
      it(`${recorded.id} gives the same events for any split`, () => {
        const random = generator(recorded.body.length)
        const { contentType } = recorded
        const whole = decode([recorded.body], contentType)
        for (const most of [1, 3, 17, 400]) {
          if (recorded.body.length / most > 60_000) continue
          assert.deepStrictEqual(decode(cut(recorded.body, most, random), contentType), whole)
        }
        // Each CRLF arrives in two reads.
        const text = new TextDecoder().decode(recorded.body).replaceAll("\r\n", "\n").replaceAll("\n", "\r\n")
        const halves = decode(text.split(/(?<=\r)/).map(bytes), contentType)
        assert.deepStrictEqual(halves.events, whole.events)
      })
    }
  })
})

describe("accumulating", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 20 })

  const message = fc.record({
    content: fc.oneof(fc.constant(null), text),
    reasoning_content: text,
    refusal: fc.oneof(fc.constant(null), text),
    calls: fc.array(fc.record({ name: fc.constantFrom("f", "g", "h"), args: fc.json({ maxDepth: 1 }) }), {
      maxLength: 4
    })
  })

  const pieces = (whole: string | null, random: () => number): ReadonlyArray<string> => {
    const letters = Array.from(whole ?? "")
    const parts: Array<string> = []
    while (letters.length > 0) parts.push(letters.splice(0, 1 + Math.floor(random() * 4)).join(""))
    return parts
  }

  it.effect.prop(
    "the deltas of a stream add up to the same answer without a stream",
    [message, fc.nat()],
    ([said, seed]) => {
      const random = generator(seed)
      const { calls: made, content, reasoning_content, refusal } = said
      const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
      const toolCalls = made.map(({ args, name }, index) => ({ id: `t${index}`, function: { name, arguments: args } }))
      const streamed = [
        ...pieces(reasoning_content, random).map((piece) => data(delta({ reasoning_content: piece }))),
        ...pieces(content, random).map(says),
        ...pieces(refusal, random).map((piece) => data(delta({ refusal: piece }))),
        ...toolCalls.flatMap(({ function: { arguments: args, name }, id }, index) => [
          calls({ index, id, function: { name, arguments: "" } }),
          ...pieces(args, random).map((piece) => calls({ index, function: { arguments: piece } }))
        ]),
        ends(),
        data({ choices: [], usage }),
        done
      ].join("")
      const document = completion({ content, reasoning_content, refusal, tool_calls: toolCalls }, { usage })
      return Effect.gen(function*() {
        const folded = answer(yield* stream(streamed))
        const whole = answer(yield* complete(JSON.stringify(document)))
        const { id: _id, model: _model, ...rest } = folded
        const { id: _, model: __, ...expected } = whole
        assert.deepStrictEqual(rest, expected)
      })
    },
    { fastCheck: { numRuns: runs(40, 100) } }
  )
})
