import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { answer, complete, type Received, stream } from "../support/wire/ask.ts"
import { calls, choice, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

interface CallDelta {
  readonly index?: number | string | null
  readonly id?: string | null
  readonly name?: string | null
  readonly args?: unknown
}

const callDelta = ({ args, name, ...rest }: CallDelta): object => ({
  ...rest,
  type: "function",
  function: { ...(name === undefined ? {} : { name }), ...(args === undefined ? {} : { arguments: args }) }
})

/** Each delta in its own chunk. */
const streamed = (...deltas: ReadonlyArray<CallDelta>) =>
  stream(deltas.map((delta) => calls(callDelta(delta))).join("") + ends("tool_calls") + done)

const expectCalls = (
  received: Effect.Effect<Received>,
  ...expected: ReadonlyArray<readonly [string, string, string]>
) =>
  Effect.map(received, (received) => {
    const toolCalls = answer(received).toolCalls
    assert.deepStrictEqual(
      toolCalls.map((call) => [call.id, call.name, call.arguments]),
      expected.map((call) => [...call])
    )
    const joined: Array<[string, string, string]> = []
    for (const event of received.events) {
      if (event._tag !== "ToolCallDelta") continue
      const argumentsSoFar = joined[event.index]?.[2] ?? ""
      joined[event.index] = [event.id, event.name, argumentsSoFar + event.arguments]
    }
    assert.deepStrictEqual(joined, expected.map((call) => [...call]), "the deltas fold to the same calls")
  })

const f = ["t1", "f", "{\"a\":1}"] as const
const g = ["t2", "g", "{\"b\":2}"] as const
const f2 = ["t2", "f", "{\"b\":2}"] as const

describe("tool calls in a stream", () => {
  it.effect("arguments may arrive in several deltas by index", () =>
    expectCalls(
      streamed(
        { index: 0, id: "t1", name: "f", args: "" },
        { index: 0, args: "{\"a\"" },
        { index: 1, id: "t2", name: "g", args: "{\"b\"" },
        { index: 0, args: ":1}" },
        { index: 1, args: ":2}" }
      ),
      f,
      g
    ))

  it.effect("several calls may arrive in one chunk", () =>
    expectCalls(
      stream(
        calls(
          callDelta({ index: 0, id: "t1", name: "f", args: "{\"a\":1}" }),
          callDelta({ index: 1, id: "t2", name: "g", args: "{\"b\":2}" })
        ) + ends("tool_calls")
      ),
      f,
      g
    ))

  it.effect("without an index, a new id is a new call (Mistral, Gemini)", () =>
    expectCalls(
      streamed({ id: "t1", name: "f", args: "{\"a\":1}" }, { id: "t2", name: "f", args: "{\"b\":2}" }),
      f,
      f2
    ))

  it.effect("without an index and an id, a name starts a call", () =>
    expectCalls(
      streamed({ name: "f", args: "{\"a\":1}" }, { name: "f", args: "{\"b\":2}" }),
      ["", "f", "{\"a\":1}"],
      ["", "f", "{\"b\":2}"]
    ))

  it.effect("without an index, an id and a name, a delta continues the call", () =>
    expectCalls(streamed({ id: "t1", name: "f" }, { args: "{\"a\"" }, { args: ":1}" }), f))

  it.effect("indexes may begin at 1", () =>
    expectCalls(streamed({ index: 1, id: "t1", name: "f", args: "{\"a\"" }, { index: 1, args: ":1}" }), f))

  it.effect("indexes may have gaps, be text or null", () =>
    expectCalls(
      streamed(
        { index: "4", id: "t1", name: "f", args: "{\"a\"" },
        { index: "4", args: ":1}" },
        { index: null, id: "t2", name: "g", args: "{\"b\":2}" }
      ),
      f,
      g
    ))

  it.effect("all indexes may be 0: a different id is a different call (Ollama)", () =>
    expectCalls(
      streamed({ index: 0, id: "t1", name: "f", args: "{\"a\":1}" }, {
        index: 0,
        id: "t2",
        name: "f",
        args: "{\"b\":2}"
      }),
      f,
      f2
    ))

  it.effect("all indexes may be 0 with arguments in several deltas and an empty id on continuations (lmdeploy, vLLM)", () =>
    expectCalls(
      streamed(
        { index: 0, id: "t1", name: "f", args: "" },
        { index: 0, id: "", name: null, args: "{\"a\"" },
        { index: 0, id: "", name: null, args: ":1}" },
        { index: 0, id: "t2", name: "f", args: "" },
        { index: 0, id: "", name: null, args: "{\"b\"" },
        { index: 0, id: "", name: null, args: ":2}" }
      ),
      f,
      f2
    ))

  it.effect("all indexes may be 0 without any id: a different name is a different call", () =>
    expectCalls(
      streamed({ index: 0, name: "f", args: "{\"a\":1}" }, { index: 0, name: "g", args: "{\"b\":2}" }),
      ["", "f", "{\"a\":1}"],
      ["", "g", "{\"b\":2}"]
    ))

  it.effect("all indexes may be 0 without any id: new arguments after complete ones are a different call", () =>
    expectCalls(
      streamed({ index: 0, name: "f", args: "{\"a\":1}" }, { index: 0, name: "f", args: "{\"b\":2}" }),
      ["", "f", "{\"a\":1}"],
      ["", "f", "{\"b\":2}"]
    ))

  it.effect("the name may come after the id", () =>
    expectCalls(
      streamed({ index: 0, id: "t1" }, { index: 0, name: "f" }, { index: 0, args: "{\"a\":1}" }),
      f
    ))

  it.effect("the name may come after the first arguments", () =>
    expectCalls(
      streamed({ index: 0, id: "t1", args: "{\"a\"" }, { index: 0, id: "t1", name: "f", args: ":1}" }),
      f
    ))

  it.effect("the id may come after the name", () =>
    expectCalls(streamed({ index: 0, name: "f", args: "{\"a\"" }, { index: 0, id: "t1", args: ":1}" }), f))

  it.effect("the id may come after the arguments without an index", () =>
    expectCalls(streamed({ name: "f", args: "{\"a\"" }, { id: "t1", args: ":1}" }), f))

  it.effect("the id may be repeated in each delta", () =>
    expectCalls(
      streamed(
        { index: 0, id: "t1", name: "f", args: "{\"a\"" },
        { index: 0, id: "t1", args: ":1}" },
        { id: "t2", name: "g", args: "{\"b\"" },
        { id: "t2", args: ":2}" }
      ),
      f,
      g
    ))

  it.effect("the id may change with each continuation (Poolside)", () =>
    expectCalls(
      streamed(
        { index: 0, id: "t1", name: "f", args: "" },
        { index: 0, id: "x1", args: "{\"a\"" },
        { index: 0, id: "x2", args: ":1}" },
        { index: 1, id: "t2", name: "g", args: "" },
        { index: 1, id: "x3", args: "{\"b\":2}" }
      ),
      f,
      g
    ))

  it.effect("one id with two indexes and different arguments is two calls, which get different ids", () =>
    Effect.map(
      streamed({ index: 0, id: "f", name: "f", args: "{\"a\":1}" }, {
        index: 1,
        id: "f",
        name: "f",
        args: "{\"b\":2}"
      }),
      (received) =>
        assert.deepStrictEqual(answer(received).toolCalls, [
          { id: "f", name: "f", arguments: "{\"a\":1}" },
          { id: "f_1", name: "f", arguments: "{\"b\":2}" }
        ])
    ))

  it.effect("the name may be repeated in each delta", () =>
    expectCalls(
      streamed(
        { index: 0, id: "t1", name: "f", args: "{\"a\"" },
        { index: 0, id: "t1", name: "f", args: ":1}" },
        { index: 1, name: "g", args: "{\"b\"" },
        { index: 1, name: "g", args: ":2}" }
      ),
      f,
      ["", "g", "{\"b\":2}"]
    ))

  it.effect("the name may be repeated in each delta without an index and an id", () =>
    expectCalls(streamed({ name: "f", args: "{\"a\"" }, { name: "f", args: ":1}" }), ["", "f", "{\"a\":1}"]))

  it.effect("the name may arrive in fragments before the arguments (Gemini)", () =>
    Effect.zipRight(
      expectCalls(
        streamed({ index: 0, id: "t1", name: "edit_ex" }, { index: 0, name: "isting_file" }, { index: 0, args: "{}" }),
        ["t1", "edit_existing_file", "{}"]
      ),
      expectCalls(
        streamed({ index: 0, id: "t1", name: "get_" }, { index: 0, id: "t1", name: "weather", args: "{}" }),
        ["t1", "get_weather", "{}"]
      )
    ))

  it.effect("the name may be repeated and longer each time", () =>
    expectCalls(
      streamed({ index: 0, id: "t1", name: "get" }, { index: 0, name: "get_weather" }, { index: 0, args: "{}" }),
      ["t1", "get_weather", "{}"]
    ))

  it.effect("null and empty ids and names on continuations are ignored", () =>
    expectCalls(
      streamed(
        { index: 0, id: "t1", name: "f", args: "{\"a\"" },
        { index: 0, id: null, name: null, args: ":" },
        { index: 0, id: "", name: "", args: "1}" },
        { index: 0, id: "", name: "", args: null }
      ),
      f
    ))

  it.effect("arguments may be an object", () =>
    expectCalls(streamed({ index: 0, id: "t1", name: "f", args: { a: 1 } }), f))

  it.effect("arguments may be null, absent or empty", () =>
    Effect.forEach(
      [null, undefined, ""],
      (args) => expectCalls(streamed({ index: 0, id: "t1", name: "f", args }), ["t1", "f", ""])
    ))

  it.effect("arguments that are complete JSON may still continue", () =>
    expectCalls(
      streamed({ index: 0, id: "t1", name: "f", args: "{}" }, { index: 0, args: " " }, { index: 0, args: "\n" }),
      ["t1", "f", "{} \n"]
    ))

  it.effect("calls after the finish reason belong to the answer", () =>
    expectCalls(
      stream(
        ends("tool_calls") + calls(callDelta({ index: 0, id: "t1", name: "f", args: "{\"a\":1}" })) +
          ends("tool_calls") +
          done
      ),
      f
    ))

  it.effect("calls in the chunk with the finish reason belong to the answer", () =>
    expectCalls(
      stream(
        data(choice({
          delta: { tool_calls: [callDelta({ index: 0, id: "t1", name: "f", args: "{\"a\":1}" })] },
          finish_reason: "tool_calls"
        }))
      ),
      f
    ))

  it.effect("an answer may have calls and text", () =>
    Effect.map(
      stream(
        says("Let me see") + calls(callDelta({ index: 0, id: "t1", name: "f", args: "{}" })) + ends("stop") + done
      ),
      (received) => {
        assert.strictEqual(answer(received).text, "Let me see")
        assert.lengthOf(answer(received).toolCalls, 1)
        assert.strictEqual(answer(received).rawFinishReason, "stop")
      }
    ))

  it.effect("the truncated arguments of an answer that ends with length are kept unchanged", () =>
    Effect.map(
      stream(calls(callDelta({ index: 0, id: "t1", name: "f", args: "{\"a\":" })) + ends("length") + done),
      (received) => {
        assert.strictEqual(answer(received).finishReason, "length")
        assert.strictEqual(answer(received).toolCalls[0]?.arguments, "{\"a\":")
      }
    ))

  it.effect("an empty delta is not a call", () =>
    Effect.map(
      stream(says("a") + data(delta({ tool_calls: [{ index: 0 }, null, 1, {}] })) + ends() + done),
      (received) => assert.lengthOf(answer(received).toolCalls, 0)
    ))

  it.effect("the index of a ToolCallDelta counts the calls from 0, whatever indexes the server uses", () =>
    Effect.map(streamed({ index: 7, id: "t1", name: "f" }, { index: 3, id: "t2", name: "g" }), (received) => {
      const indexes = received.events.flatMap((event) => event._tag === "ToolCallDelta" ? [event.index] : [])
      assert.deepStrictEqual(indexes, [0, 1])
    }))

  it.effect("the deprecated function_call is separate from the tool calls", () =>
    Effect.map(
      stream(
        data(delta({ content: null, function_call: { name: "f", arguments: "" } })) +
          data(delta({ function_call: { arguments: "{\"a\"" } })) +
          data(delta({ function_call: { arguments: ":1}" } })) + ends("function_call") + done
      ),
      (received) => {
        assert.deepStrictEqual(answer(received).functionCall, { name: "f", arguments: "{\"a\":1}" })
        assert.lengthOf(answer(received).toolCalls, 0)
        assert.strictEqual(answer(received).finishReason, "tool-calls")
      }
    ))

  it.effect("an empty function_call is ignored (Snowflake)", () =>
    Effect.map(complete(JSON.stringify(completion({ content: "a", function_call: { name: "", arguments: "" } }))), (
      received
    ) => assert.isUndefined(answer(received).functionCall)))
})

describe("tool calls in a document", () => {
  it.effect("are read in their order, with and without an index", () =>
    Effect.map(
      complete(JSON.stringify(completion({
        content: null,
        tool_calls: [
          callDelta({ id: "t1", name: "f", args: "{\"a\":1}" }),
          callDelta({ index: 0, id: "t2", name: "g", args: { b: 2 } }),
          callDelta({ id: "", name: "f", args: "{\"c\":3}" })
        ]
      }))),
      (received) =>
        assert.deepStrictEqual(answer(received).toolCalls.map((call) => [call.id, call.name, call.arguments]), [
          [...f],
          [...g],
          ["", "f", "{\"c\":3}"]
        ])
    ))

  it.effect("may have the name and arguments in the call itself, or in custom", () =>
    Effect.map(
      complete(JSON.stringify(completion({
        tool_calls: [
          { id: "t1", name: "f", arguments: "{\"a\":1}" },
          { id: "t2", type: "custom", custom: { name: "g", input: "{\"b\":2}" } }
        ]
      }))),
      (received) =>
        assert.deepStrictEqual(answer(received).toolCalls.map((call) => [call.id, call.name, call.arguments]), [
          [...f],
          [...g]
        ])
    ))

  it.effect("are separate calls even without ids and indexes", () =>
    Effect.map(
      complete(JSON.stringify(completion({
        tool_calls: [
          callDelta({ name: "f", args: "" }),
          callDelta({ name: "f", args: "{}" }),
          callDelta({ name: "f", args: "{}" })
        ]
      }))),
      (received) =>
        assert.deepStrictEqual(answer(received).toolCalls.map((call) => [call.name, call.arguments]), [
          ["f", ""],
          ["f", "{}"],
          ["f", "{}"]
        ])
    ))
})
