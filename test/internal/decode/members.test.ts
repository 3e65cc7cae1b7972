import { assert, describe, it } from "@effect/vitest"
import { Accumulator, type Options } from "../../../src/internal/decode/accumulator.ts"

const make = (options: Partial<Options> = {}) =>
  new Accumulator({ provider: undefined, origin: "http://localhost", model: "asked", thinkTags: false, ...options })

/** The answer of these deltas, with each one in its own chunk. */
const streamed = (...deltas: ReadonlyArray<object>) => {
  const answer = make()
  for (const delta of deltas) answer.add({ choices: [{ index: 0, delta }] }, false, [])
  return answer.response()
}

const document = (message: object, members: object = {}) => {
  const answer = make()
  answer.add({ choices: [{ index: 0, message, finish_reason: "stop" }], ...members }, true, [])
  return answer.response()
}

describe("members of an answer", () => {
  it("keeps members that must be sent back, with the server and the model of the request", () => {
    const details = [{ type: "reasoning.encrypted", data: "abc", id: "r1" }]
    assert.deepStrictEqual(document({ content: "a", reasoning_details: details }).opaque, {
      origin: "http://localhost",
      model: "asked",
      fields: { reasoning_details: details }
    })
    assert.isUndefined(document({ content: "a" }).opaque)
  })

  it("joins the deltas of reasoning details by index and type", () => {
    const { opaque, reasoning } = streamed(
      { reasoning_details: [{ type: "reasoning.text", text: "I ", index: 0 }] },
      { reasoning_details: [{ type: "reasoning.text", text: "see", index: 0 }] },
      { reasoning_details: [{ type: "reasoning.text", signature: "s", index: 0 }] },
      { reasoning_details: [{ type: "reasoning.encrypted", data: "x", index: 1 }] }
    )
    assert.strictEqual(reasoning, "I see")
    assert.deepStrictEqual(opaque?.fields, {
      reasoning_details: [
        { type: "reasoning.text", text: "I see", signature: "s", index: 0 },
        { type: "reasoning.encrypted", data: "x", index: 1 }
      ]
    })
  })

  it("joins the deltas of one index by type, in any order", () => {
    const { opaque } = streamed(
      { reasoning_details: [{ type: "reasoning.text", text: "I", index: 0 }] },
      { reasoning_details: [{ type: "reasoning.encrypted", data: "x", index: 0 }] },
      { reasoning_details: [{ type: "reasoning.text", signature: "s", index: 0 }] },
      { reasoning_details: [{ text: " see", index: 1 }] }
    )
    assert.deepStrictEqual(opaque?.fields, {
      reasoning_details: [
        { type: "reasoning.text", text: "I", signature: "s", index: 0 },
        { type: "reasoning.encrypted", data: "x", index: 0 },
        { text: " see", index: 1 }
      ]
    })
  })

  it("keeps a repeated encrypted block once", () => {
    const block = { type: "reasoning.encrypted", data: "QUJDREVG", id: "r1", index: 0 }
    const { opaque } = streamed({ reasoning_details: [block] }, { reasoning_details: [block] })
    assert.deepStrictEqual(opaque?.fields, { reasoning_details: [block] })
  })

  it("appends equal deltas of audio", () => {
    const { extra } = streamed({ audio: { id: "a1", data: "AAAA" } }, { audio: { data: "AAAA" } })
    assert.deepStrictEqual(extra, { audio: { id: "a1", data: "AAAAAAAA" } })
  })

  for (const name of ["thoughtSignature", "reasoning_encrypted_content", "reasoning_opaque", "thought_signatures"]) {
    it(`keeps ${name}, which is marked as signed or encrypted, in several deltas or repeated`, () => {
      const fieldsAfter = (...values: ReadonlyArray<string>) =>
        streamed({ content: "a" }, ...values.map((value) => ({ [name]: value }))).opaque?.fields
      assert.deepStrictEqual(fieldsAfter("QUJD", "REVG", ""), { [name]: "QUJDREVG" })
      assert.deepStrictEqual(fieldsAfter("QUJD", "QUJD"), { [name]: "QUJD" })
    })
  }

  it("merges further members of several deltas, and keeps them if a later one is empty", () => {
    const google = (value: object) => ({ extra_content: { google: value } })
    const call = (members: object) => ({ tool_calls: [{ index: 0, id: "c", function: { name: "f" }, ...members }] })
    const deltas = [{ thought: true }, { thought_signature: "QUJD" }, { thought_signature: "REVG" }, {
      thought_signature: ""
    }].map(google)
    const expected = google({ thought: true, thought_signature: "QUJDREVG" })
    assert.deepStrictEqual(streamed({ content: "a" }, ...deltas).opaque?.fields, expected)
    assert.deepStrictEqual(streamed(...deltas.map(call)).toolCalls[0]?.extra, expected)
  })

  it("joins the deltas of thinking blocks up to a signature", () => {
    const { opaque } = streamed(
      { thinking_blocks: [{ type: "thinking", thinking: "I " }] },
      { thinking_blocks: [{ type: "thinking", thinking: "see" }] },
      { thinking_blocks: [{ type: "thinking", thinking: "", signature: "s1" }] },
      { thinking_blocks: [{ type: "thinking", thinking: "Next", signature: "s2" }] }
    )
    assert.deepStrictEqual(opaque?.fields, {
      thinking_blocks: [
        { type: "thinking", thinking: "I see", signature: "s1" },
        { type: "thinking", thinking: "Next", signature: "s2" }
      ]
    })
  })

  it("keeps the thinking parts of content before its text", () => {
    const thinking = (text: string) => ({ type: "thinking", thinking: [{ type: "text", text }] })
    const { opaque, reasoning, text } = streamed(
      { content: [thinking("I ")] },
      { content: [thinking("see")] },
      { content: "Hi" }
    )
    assert.deepStrictEqual([reasoning, text], ["I see", "Hi"])
    assert.deepStrictEqual(opaque?.fields, { content: [thinking("I see"), { type: "text", text: "Hi" }] })
  })

  it("keeps further members of calls even if there are no opaque fields", () => {
    const { opaque, toolCalls } = streamed({
      tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: "{}" }, extra_content: { google: "sig" } }]
    })
    assert.deepStrictEqual(toolCalls[0]?.extra, { extra_content: { google: "sig" } })
    assert.deepStrictEqual(opaque?.fields, {})
  })

  it("joins the deltas of audio, and sends its id back", () => {
    const { extra, opaque } = streamed(
      { audio: { id: "audio_1", data: "AAA" } },
      { audio: { data: "BBB", transcript: "Hel" } },
      { audio: { transcript: "lo", expires_at: 9 } }
    )
    assert.deepStrictEqual(extra, { audio: { id: "audio_1", data: "AAABBB", transcript: "Hello", expires_at: 9 } })
    assert.deepStrictEqual(opaque?.fields, { audio: { id: "audio_1" } })
  })

  it("keeps citations, log probabilities, and unknown members", () => {
    const answer = make()
    const annotation = { type: "url_citation", url_citation: { url: "http://a" } }
    for (const content of ["a", "b"]) {
      answer.add(
        {
          service_tier: "flex",
          citations: ["http://a"],
          choices: [{
            index: 0,
            delta: { content, annotations: [annotation], images: [{ n: content }] },
            logprobs: { content: [{ token: content, logprob: -1 }], refusal: null }
          }]
        },
        false,
        []
      )
    }
    const { annotations, extra, logprobs } = answer.response()
    assert.deepStrictEqual(annotations, [annotation])
    assert.deepStrictEqual(logprobs, { content: [{ token: "a", logprob: -1 }, { token: "b", logprob: -1 }] })
    assert.deepStrictEqual(extra, {
      service_tier: "flex",
      citations: ["http://a"],
      images: [{ n: "a" }, { n: "b" }]
    })
  })

  it("has none of these members if the server sends none", () => {
    const response = document({ content: "a" }, { system_fingerprint: null, citations: [] })
    for (const member of ["annotations", "logprobs", "extra", "opaque"]) assert.notProperty(response, member)
  })
})
