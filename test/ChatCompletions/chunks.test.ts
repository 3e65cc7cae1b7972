import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { answer, complete, emittedText, failure, type Received, stream } from "../support/wire/ask.ts"
import { choice, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

const tags = (received: Received) => received.events.map((event) => event._tag)

const reasoned = ({ events }: Received): string =>
  events.map((event) => event._tag === "ReasoningDelta" ? event.text : "").join("")

describe("chunks", () => {
  describe("envelope", () => {
    it.effect("a chunk may lack id, object, created and model", () =>
      Effect.map(
        stream(
          "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"
        ),
        (received) => {
          assert.strictEqual(answer(received).text, "a")
          assert.strictEqual(answer(received).id, "")
          assert.strictEqual(answer(received).model, "")
        }
      ))

    it.effect("a usage chunk may have empty choices and nothing else (\"cost\":\"0\")", () =>
      Effect.map(stream(says("a") + ends() + data({ choices: [], cost: "0" }) + done), (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.isUndefined(answer(received).usage)
      }))

    it.effect("id and model are those of the first chunk that has them (Azure's first chunk has none)", () =>
      Effect.map(
        stream(
          data({
            choices: [],
            created: 0,
            id: "",
            model: "",
            object: "",
            prompt_filter_results: [{ prompt_index: 0 }]
          }) +
            data({ id: "c7", model: "gpt-4o", choices: [{ index: 0, delta: { content: "a" }, finish_reason: null }] }) +
            data({ id: "", choices: [{ index: 0, finish_reason: null, content_filter_offsets: { start: 1 } }] }) +
            ends() + done
        ),
        (received) => {
          assert.strictEqual(answer(received).text, "a")
          assert.strictEqual(answer(received).id, "c7")
          assert.strictEqual(answer(received).model, "gpt-4o")
        }
      ))

    it.effect("the first id is the answer's id, even if later chunks have other ids", () =>
      Effect.map(
        stream(["a", "b", "c"].map((id) => data({ ...delta({ content: id }), id })).join("") + ends() + done),
        (received) => {
          assert.strictEqual(answer(received).text, "abc")
          assert.strictEqual(answer(received).id, "a")
        }
      ))

    it.effect("with n above 1 the first choice is the answer, in any order of the chunks", () => {
      const choiceText = (index: number, content: string) => data({ choices: [{ index, delta: { content } }] })
      const bothChoices = data({
        choices: [{ index: 1, delta: { content: "y" } }, { index: 0, delta: { content: "b" } }]
      })
      const choiceEnd = (index: number, reason: string) =>
        data({ choices: [{ index, delta: {}, finish_reason: reason }] })
      return Effect.map(
        stream(
          choiceText(1, "x") + choiceText(0, "a") + bothChoices + choiceEnd(0, "stop") + choiceEnd(1, "length") + done
        ),
        (received) => {
          assert.strictEqual(answer(received).text, "ab")
          assert.strictEqual(answer(received).rawFinishReason, "stop")
        }
      )
    })

    it.effect("an index may be text or null", () =>
      Effect.map(
        stream(
          data(choice({ index: "0", delta: { content: "a" } })) +
            data(choice({ index: null, delta: { content: "b" } })) + done
        ),
        (received) => assert.strictEqual(answer(received).text, "ab")
      ))

    it.effect("the only choice of a document is the answer, whatever its index", () =>
      Effect.map(
        complete(JSON.stringify({ choices: [{ index: 1, message: { content: "a" }, finish_reason: "stop" }] })),
        (received) => assert.strictEqual(answer(received).text, "a")
      ))

    it.effect("tool calls in a second choice without an index belong to the answer (Copilot)", () => {
      const call = { id: "t1", type: "function", function: { name: "f", arguments: "{}" } }
      const document = {
        choices: [
          { message: { content: "Let me look" }, finish_reason: "tool_calls" },
          { message: { tool_calls: [call] }, finish_reason: "tool_calls" }
        ]
      }
      return Effect.map(complete(JSON.stringify(document)), (received) => {
        assert.strictEqual(answer(received).text, "Let me look")
        assert.deepStrictEqual(answer(received).toolCalls, [{ id: "t1", name: "f", arguments: "{}" }])
      })
    })

    it.effect("the other answers of a document with n above 1 are ignored", () => {
      const call = { id: "t1", type: "function", function: { name: "f", arguments: "{}" } }
      const document = {
        choices: [
          { index: 0, message: { content: "a" }, finish_reason: "stop" },
          { index: 1, message: { content: "b", tool_calls: [call] }, finish_reason: "tool_calls" }
        ]
      }
      return Effect.map(complete(JSON.stringify(document)), (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.lengthOf(answer(received).toolCalls, 0)
        assert.strictEqual(answer(received).rawFinishReason, "stop")
      })
    })

    it.effect("a choice without a message is an empty answer (Azure's content filter)", () =>
      Effect.map(
        complete(
          JSON.stringify({ choices: [{ index: 0, finish_reason: "content_filter" }], usage: { prompt_tokens: 9 } })
        ),
        (received) => {
          assert.strictEqual(answer(received).text, "")
          assert.strictEqual(answer(received).finishReason, "content-filter")
        }
      ))

    it.effect("an empty answer is an answer", () =>
      Effect.map(stream(data(delta({ role: "assistant", content: "" })) + ends() + done), (received) => {
        assert.strictEqual(answer(received).text, "")
        assert.deepStrictEqual(tags(received), ["Begin", "Finish"])
      }))
  })

  describe("text", () => {
    it.effect("role may be null, empty, or on every chunk", () =>
      Effect.map(
        stream(
          [null, "", "assistant", "assistant"].map((role) => data(delta({ role, content: "a" }))).join("") + ends()
        ),
        (received) => assert.strictEqual(answer(received).text, "aaaa")
      ))

    it.effect("null content, null tool calls and a missing delta add nothing", () =>
      Effect.map(
        stream(
          data(delta({ content: null, tool_calls: null, refusal: null, function_call: null, audio: null })) +
            data(choice({})) + data(choice({ delta: null })) + says("a") + ends()
        ),
        (received) => {
          assert.strictEqual(answer(received).text, "a")
          assert.deepStrictEqual(tags(received), ["Begin", "TextDelta", "Finish"])
        }
      ))

    it.effect("content in the chunk with the finish reason belongs to the answer", () =>
      Effect.map(stream(says("a") + data(choice({ delta: { content: "b" }, finish_reason: "stop" }))), (received) => {
        assert.strictEqual(answer(received).text, "ab")
      }))

    it.effect("a message next to the delta repeats it and is ignored (Perplexity)", () => {
      const chunk = (content: string, textSoFar: string) =>
        data(choice({ delta: { content }, message: { role: "assistant", content: textSoFar } }))
      return Effect.map(stream(chunk("a", "a") + chunk("b", "ab") + ends()), (received) => {
        assert.strictEqual(emittedText(received), "ab")
      })
    })

    it.effect("a message that repeats the complete answer after the deltas is ignored", () =>
      Effect.map(stream(says("a") + says("b") + data(completion({ content: "ab" })) + done), (received) => {
        assert.strictEqual(emittedText(received), "ab")
        assert.strictEqual(answer(received).text, "ab")
      }))

    it.effect("a message in place of all deltas is the answer", () =>
      Effect.map(stream(data(completion({ content: "ab" })) + done), (received) => {
        assert.strictEqual(emittedText(received), "ab")
      }))

    it.effect("a message in a document replaces an empty delta next to it", () =>
      Effect.map(
        complete(JSON.stringify({
          choices: [{ index: 0, message: { content: "ab" }, delta: { content: "" }, finish_reason: "stop" }]
        })),
        (received) => assert.strictEqual(answer(received).text, "ab")
      ))

    it.effect("text on the choice is the answer of a legacy completion", () =>
      Effect.map(stream(data({ choices: [{ text: "a" }] }) + data({ choices: [{ text: "b" }] }) + done), (received) => {
        assert.strictEqual(answer(received).text, "ab")
      }))

    it.effect("text next to a delta is ignored (Together)", () =>
      Effect.map(stream(data(choice({ delta: { content: "a" }, text: "a" })) + ends() + done), (received) => {
        assert.strictEqual(answer(received).text, "a")
      }))

    it.effect("the texts of a list of parts are joined", () =>
      Effect.map(
        stream(
          data(delta({ content: [{ type: "text", text: "a" }, { type: "text", text: "b" }] })) +
            data(delta({ content: [{ type: "reference", reference_ids: [1] }] })) +
            data(delta({ content: [] })) + says("c") + ends()
        ),
        (received) => assert.strictEqual(answer(received).text, "abc")
      ))

    it.effect("content may be a single part, or a list with texts in it", () =>
      Effect.map(
        stream(data(delta({ content: { type: "text", text: "a" } })) + data(delta({ content: ["b"] })) + ends()),
        (received) => assert.strictEqual(answer(received).text, "ab")
      ))

    it.effect("thinking in a list of parts is reasoning (Mistral)", () =>
      Effect.map(
        stream(
          data(delta({ content: [{ type: "thinking", thinking: [{ type: "text", text: "hm" }] }] })) +
            data(delta({ content: [{ type: "thinking", thinking: "m" }, { type: "text", text: "a" }] })) + ends()
        ),
        (received) => {
          assert.strictEqual(answer(received).reasoning, "hmm")
          assert.strictEqual(answer(received).text, "a")
        }
      ))

    it.effect("reasoning with a summary in a list of parts is reasoning (Databricks)", () =>
      Effect.map(
        complete(JSON.stringify(completion({
          content: [
            { type: "reasoning", summary: [{ type: "summary_text", text: "hm" }] },
            { type: "text", text: "a" }
          ]
        }))),
        (received) => {
          assert.strictEqual(answer(received).reasoning, "hm")
          assert.strictEqual(answer(received).text, "a")
        }
      ))
  })

  describe("reasoning", () => {
    for (const field of ["reasoning_content", "reasoning", "reasoning_text", "thinking"]) {
      it.effect(`${field} is reasoning, separate from the text`, () =>
        Effect.map(
          stream(data(delta({ [field]: "h" })) + data(delta({ [field]: "m", content: null })) + says("a") + ends()),
          (received) => {
            assert.strictEqual(answer(received).reasoning, "hm")
            assert.strictEqual(reasoned(received), "hm")
            assert.strictEqual(answer(received).text, "a")
          }
        ))
    }

    it.effect("the same reasoning under two names is emitted once", () =>
      Effect.map(
        stream(
          data(delta({
            reasoning_content: "hm",
            reasoning: "hm",
            reasoning_details: [{ type: "reasoning.text", text: "hm" }]
          })) + says("a") + ends()
        ),
        (received) => assert.strictEqual(reasoned(received), "hm")
      ))

    it.effect("an empty reasoning_content is ignored if there is a reasoning", () =>
      Effect.map(stream(data(delta({ reasoning_content: "", reasoning: "hm" })) + says("a") + ends()), (received) => {
        assert.strictEqual(reasoned(received), "hm")
      }))

    it.effect("reasoning_details alone are reasoning if they are readable", () =>
      Effect.map(
        stream(
          data(
            delta({
              reasoning_details: [{ type: "reasoning.text", text: "h" }, { type: "reasoning.summary", summary: "m" }]
            })
          ) +
            data(delta({ reasoning_details: [{ type: "reasoning.encrypted", data: "x1" }] })) + says("a") + ends()
        ),
        (received) => assert.strictEqual(reasoned(received), "hm")
      ))

    it.effect("reasoning is emitted before the text of the same chunk", () =>
      Effect.map(stream(data(delta({ content: "a", reasoning: "hm" })) + ends()), (received) => {
        assert.deepStrictEqual(tags(received), ["Begin", "ReasoningDelta", "TextDelta", "Finish"])
      }))

    it.effect("text in tags is text, or reasoning if the config says so", () => {
      const body = says("<thi") + says("nk>hm</th") + says("ink>\n\na") + ends()
      return Effect.gen(function*() {
        assert.strictEqual(answer(yield* stream(body)).text, "<think>hm</think>\n\na")
        const received = yield* stream(body, { wire: { thinkTags: true } })
        assert.strictEqual(answer(received).text, "a")
        assert.strictEqual(answer(received).reasoning, "hm")
      })
    })

    it.effect("reasoning whose closing tag is missing is in the partial answer", () =>
      Effect.map(stream(says("<think>hm"), { wire: { thinkTags: true } }), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").partial?.reasoning, "hm")
      }))
  })

  describe("refusals", () => {
    it.effect("a refusal is separate from the text", () =>
      Effect.map(stream(data(delta({ refusal: "I " })) + data(delta({ refusal: "won't" })) + ends()), (received) => {
        assert.strictEqual(answer(received).refusal, "I won't")
        assert.strictEqual(answer(received).text, "")
        assert.deepStrictEqual(tags(received), ["Begin", "RefusalDelta", "RefusalDelta", "Finish"])
      }))

    it.effect("a refusal may be a part of a list", () =>
      Effect.map(
        complete(JSON.stringify(completion({ content: [{ type: "refusal", refusal: "no" }] }))),
        (received) => {
          assert.strictEqual(answer(received).refusal, "no")
        }
      ))
  })

  describe("usage", () => {
    const usage = { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }

    it.effect("can have its own chunk after the finish reason", () =>
      Effect.map(stream(says("a") + ends() + data({ choices: [], usage }) + done), (received) => {
        assert.deepStrictEqual(answer(received).usage, {
          inputTokens: 3,
          outputTokens: 4,
          totalTokens: 7,
          reasoningTokens: 0,
          cachedTokens: 0,
          estimated: false,
          raw: usage
        })
      }))

    it.effect("on every chunk is cumulative: the last usage is used, and nothing is added up", () =>
      Effect.map(
        stream(
          [1, 2, 3].map((completion_tokens) =>
            data(delta({ content: "a" }, { usage: { prompt_tokens: 5, completion_tokens } }))
          ).join("") + ends()
        ),
        (received) => {
          assert.strictEqual(answer(received).usage?.outputTokens, 3)
          assert.strictEqual(answer(received).usage?.totalTokens, 8)
        }
      ))

    it.effect("is unchanged by null or empty usage", () =>
      Effect.map(
        stream(
          data(delta({ content: "a" }, { usage })) + data(delta({}, { usage: null })) + data(delta({}, { usage: {} })) +
            ends()
        ),
        (received) => assert.strictEqual(answer(received).usage?.totalTokens, 7)
      ))

    const positions: Readonly<Record<string, object>> = {
      "on the choice (Moonshot)": choice({ delta: {}, usage }),
      "under x_groq (Groq)": delta({}, { x_groq: { usage } })
    }
    for (const [name, chunk] of Object.entries(positions)) {
      it.effect(`may be ${name}`, () =>
        Effect.map(stream(says("a") + data(chunk) + ends()), (received) => {
          assert.deepStrictEqual(answer(received).usage?.raw, usage)
        }))
    }

    it.effect("has cached and reasoning tokens under all known names", () =>
      Effect.forEach([
        { prompt_tokens_details: { cached_tokens: 2 }, completion_tokens_details: { reasoning_tokens: 9 } },
        { input_tokens_details: { cached_tokens: 2 }, output_tokens_details: { reasoning_tokens: 9 } },
        { prompt_cache_hit_tokens: 2, reasoning_tokens: 9 },
        { cached_tokens: "2", reasoning_tokens: "9" }
      ], (details) =>
        Effect.map(stream(says("a") + ends() + data({ choices: [], usage: { ...usage, ...details } })), (received) => {
          assert.strictEqual(answer(received).usage?.cachedTokens, 2)
          // More reasoning than completion tokens (Baseten): nothing is subtracted, so no count is below 0.
          assert.strictEqual(answer(received).usage?.reasoningTokens, 9)
          assert.strictEqual(answer(received).usage?.outputTokens, 4)
        })))

    it.effect("reads counts that are text, and has 0 for null and negative counts", () =>
      Effect.map(
        stream(
          says("a") + ends() + data({
            choices: [],
            usage: { prompt_tokens: "3", completion_tokens: null, total_tokens: -1, prompt_tokens_details: null }
          })
        ),
        (received) => {
          assert.strictEqual(answer(received).usage?.inputTokens, 3)
          assert.strictEqual(answer(received).usage?.outputTokens, 0)
          assert.strictEqual(answer(received).usage?.totalTokens, 0)
        }
      ))

    it.effect("keeps a total above prompt plus completion unchanged", () =>
      Effect.map(
        stream(says("a") + ends() + data({ choices: [], usage: { ...usage, total_tokens: 20 } })),
        (received) => {
          assert.strictEqual(answer(received).usage?.totalTokens, 20)
        }
      ))
  })
})
