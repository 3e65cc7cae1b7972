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
  chunks: ReadonlyArray<Uint8Array>,
  contentType = "text/event-stream",
  settings = config
): Decoded => {
  const decoder = new Decoder(settings, () => contentType)
  const events: Array<ChatEvent.ChatEvent> = []
  for (const chunk of chunks) {
    const problem = decoder.push(chunk, events)
    if (problem !== undefined) return { events, problem }
    if (decoder.isDone) return { events, problem: undefined }
  }
  return { events, problem: decoder.end(events) }
}

/** Joins neighbouring deltas of the same kind, to compare texts without the boundaries of deltas. */
const joined = ({ events, problem }: Decoded): Decoded => {
  const merged: Array<ChatEvent.ChatEvent> = []
  for (const event of events) {
    const last = merged.at(-1)
    if (last !== undefined && last._tag === event._tag && "text" in last && "text" in event) {
      merged[merged.length - 1] = { ...last, text: last.text + event.text }
    } else merged.push(event)
  }
  return { events: merged, problem }
}

const eventText = fc.oneof(
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
  fc.array(eventText, { maxLength: 12 }),
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
).map(([start, events, end, lineEnd]) => bytes(`${start}${events.join("")}${end}`.replaceAll("\n", lineEnd)))

const splitPositions = fc.array(fc.nat(), { maxLength: 40 })

const splitAt = (body: Uint8Array, positions: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const at = [...new Set(positions.map((position) => position % (body.length + 1)))].sort((a, b) => a - b)
  return [...at, body.length].map((end, i) => body.subarray(i === 0 ? 0 : at[i - 1], end))
}

describe("chunking", () => {
  it.prop("any split of a stream gives the same events", [body, splitPositions], ([stream, positions]) => {
    assert.deepStrictEqual(decode(splitAt(stream, positions)), decode([stream]))
  }, { fastCheck: { numRuns: runs(150, 400) } })

  it.prop("a stream that arrives byte by byte gives the same events as in one chunk", [body], ([stream]) => {
    assert.deepStrictEqual(decode(Array.from(stream, (byte) => Uint8Array.of(byte))), decode([stream]))
  }, { fastCheck: { numRuns: runs(50, 150) } })

  it.prop(
    "with reasoning in tags, a split changes only the boundaries of deltas",
    [body, splitPositions],
    ([stream, positions]) => {
      const chunks = splitAt(stream, positions)
      assert.deepStrictEqual(
        joined(decode(chunks, undefined, withTags)),
        joined(decode([stream], undefined, withTags))
      )
    },
    { fastCheck: { numRuns: runs(50, 150) } }
  )

  it.prop("a split gives the same events with a wrong content type", [body, splitPositions], ([stream, positions]) => {
    const contentType = "application/json"
    assert.deepStrictEqual(decode(splitAt(stream, positions), contentType), decode([stream], contentType))
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
    [body, splitPositions],
    ([stream, positions]) => {
      const { events, problem } = decode(splitAt(stream, positions))
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
        const expected = decode([recorded.body], contentType)
        for (const maxSize of [1, 3, 17, 400]) {
          if (recorded.body.length / maxSize > 60_000) continue
          assert.deepStrictEqual(decode(cut(recorded.body, maxSize, random), contentType), expected)
        }
        // Each CRLF arrives in two reads.
        const text = new TextDecoder().decode(recorded.body).replaceAll("\r\n", "\n").replaceAll("\n", "\r\n")
        const splitCrlf = decode(text.split(/(?<=\r)/).map(bytes), contentType)
        assert.deepStrictEqual(splitCrlf.events, expected.events)
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

  const fragmentsOf = (text: string | null, random: () => number): ReadonlyArray<string> => {
    const letters = Array.from(text ?? "")
    const fragments: Array<string> = []
    while (letters.length > 0) fragments.push(letters.splice(0, 1 + Math.floor(random() * 4)).join(""))
    return fragments
  }

  it.effect.prop(
    "the deltas of a stream add up to the same answer without a stream",
    [message, fc.nat()],
    ([said, seed]) => {
      const random = generator(seed)
      const { calls: answerCalls, content, reasoning_content, refusal } = said
      const usage = { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 }
      const toolCalls = answerCalls.map(({ args, name }, index) => ({
        id: `t${index}`,
        function: { name, arguments: args }
      }))
      const streamed = [
        ...fragmentsOf(reasoning_content, random).map((text) => data(delta({ reasoning_content: text }))),
        ...fragmentsOf(content, random).map(says),
        ...fragmentsOf(refusal, random).map((text) => data(delta({ refusal: text }))),
        ...toolCalls.flatMap(({ function: { arguments: args, name }, id }, index) => [
          calls({ index, id, function: { name, arguments: "" } }),
          ...fragmentsOf(args, random).map((text) => calls({ index, function: { arguments: text } }))
        ]),
        ends(),
        data({ choices: [], usage }),
        done
      ].join("")
      const document = completion({ content, reasoning_content, refusal, tool_calls: toolCalls }, { usage })
      return Effect.gen(function*() {
        const folded = answer(yield* stream(streamed))
        const completed = answer(yield* complete(JSON.stringify(document)))
        const { id: _id, model: _model, ...rest } = folded
        const { id: _, model: __, ...expected } = completed
        assert.deepStrictEqual(rest, expected)
      })
    },
    { fastCheck: { numRuns: runs(40, 100) } }
  )
})
