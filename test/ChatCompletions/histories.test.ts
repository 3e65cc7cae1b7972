/**
 * Histories that servers are known to refuse, and the messages that are sent instead.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChatMessage, type ChatResponse, LLMChat, Provider } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, options, withScript } from "../support/chats.ts"
import { type Asking, stream } from "../support/wire/ask.ts"
import { done } from "../support/wire/say.ts"

const tools = [{ name: "f" }, { name: "g" }]

/** The messages of the request, with tools unless the options say otherwise. */
const sentMessages = (messages: ReadonlyArray<ChatMessage.ChatMessage>, asking: Asking = {}) =>
  Effect.map(
    stream(done, { options: { tools }, ...asking, messages }),
    ({ requests: [request] }) => JSON.parse(request?.text ?? "").messages
  )

const call = (id: string, name = "f", text = "{}"): ChatResponse.ToolCall => ({ id, name, arguments: text })

const calling = (...toolCalls: ReadonlyArray<ChatResponse.ToolCall>): ChatMessage.AssistantMessage => ({
  role: "assistant",
  content: "",
  toolCalls
})

const { assistant, system, toolResult, user } = ChatMessage

const withPreset = (preset: Provider.Preset): Asking => ({ config: { ...preset, model: "m" } })

interface SentMessage {
  readonly role: string
  readonly content: unknown
  readonly tool_call_id?: string
  readonly tool_calls?: ReadonlyArray<{ readonly id: string; readonly function: { readonly name: string } }>
}

/** The roles of messages, with the ids of calls and results. */
const outline = (messages: ReadonlyArray<SentMessage>) =>
  messages.map(({ content, role, tool_call_id, tool_calls }) => {
    const ids = tool_calls?.map(({ id }) => id).join(" ") ?? tool_call_id
    return [role, ids, typeof content === "string" ? content : undefined].filter((text) => text !== undefined).join(
      ": "
    )
  })

describe("The results of tools", () => {
  it.effect("are sent next to their calls in the order of the calls, wherever they are in the history", () =>
    Effect.gen(function*() {
      const messages = yield* sentMessages([
        user("a"),
        calling(call("1"), call("2", "g"), call("3")),
        toolResult("3", "three"),
        user("never mind"),
        toolResult("1", "one"),
        assistant("well"),
        toolResult("2", "two")
      ])
      assert.deepStrictEqual(outline(messages), [
        "user: a",
        "assistant: 1 2 3",
        "tool: 1: one",
        "tool: 2: two",
        "tool: 3: three",
        "user: never mind",
        "assistant: well"
      ])
    }))

  it.effect("say that a call was not run if they are missing (crush#529, pi#3344)", () =>
    Effect.gen(function*() {
      const messages = yield* sentMessages([
        user("a"),
        calling(call("1"), call("2")),
        toolResult("2", "two"),
        user("b")
      ])
      assert.deepStrictEqual(outline(messages), [
        "user: a",
        "assistant: 1 2",
        "tool: 1: This tool call was not run.",
        "tool: 2: two",
        "user: b"
      ])
    }))

  it.effect("become one user message if their call is missing", () =>
    Effect.gen(function*() {
      const messages = yield* sentMessages([
        toolResult("0", "zero"),
        user("a"),
        calling(call("1")),
        toolResult("1", "one"),
        toolResult("1", "one"),
        toolResult("1", "uno")
      ])
      assert.deepStrictEqual(outline(messages), [
        "user: The result of a tool: zero\n\na",
        "assistant: 1",
        "tool: 1: one",
        "user: The result of the tool f: uno"
      ])
    }))

  it.effect("belong to the last message with their id, and within it to the calls in order (nanobot#4059)", () =>
    Effect.gen(function*() {
      const messages = yield* sentMessages([
        user("a"),
        calling(call("call_0"), call("call_0", "g")),
        toolResult("call_0", "one"),
        toolResult("call_0", "two"),
        user("b"),
        calling(call("call_0"), call("")),
        toolResult("call_0", "three"),
        toolResult("", "four")
      ])
      assert.deepStrictEqual(outline(messages), [
        "user: a",
        "assistant: call_0 call_0_1",
        "tool: call_0: one",
        "tool: call_0_1: two",
        "user: b",
        "assistant: call_0_2 call_1",
        "tool: call_0_2: three",
        "tool: call_1: four"
      ])
    }))

  it.effect("are sent with a text if they are blank", () =>
    Effect.map(
      sentMessages([user("a"), calling(call("1")), toolResult("1", " \n")]),
      (messages) => assert.deepStrictEqual(outline(messages).at(-1), "tool: 1: (no output)")
    ))

  it.effect("name their tool only for Gemini (hermes-agent#19728, #114713)", () =>
    Effect.gen(function*() {
      const history = [user("a"), calling(call("1", "g")), toolResult("1", "one")]
      assert.deepStrictEqual((yield* sentMessages(history, withPreset(Provider.gemini))).at(-1), {
        role: "tool",
        tool_call_id: "1",
        name: "g",
        content: "one"
      })
      assert.notProperty((yield* sentMessages(history, withPreset(Provider.openai))).at(-1), "name")
    }))

  it.effect("are followed by an answer before a user message for Mistral", () =>
    Effect.gen(function*() {
      const messages = yield* sentMessages(
        [user("a"), calling(call("123456789")), user("b")],
        withPreset(Provider.mistral)
      )
      assert.deepStrictEqual(messages.map(({ role }: { readonly role: string }) => role), [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user"
      ])
    }))
})

describe("Tool calls", () => {
  it.effect("have ids of nine letters or digits for Mistral, the same in each request (opencode#1680)", () =>
    Effect.gen(function*() {
      const history = [
        user("a"),
        calling(call("call_PTLP8xhu3uwZk4l3nlnrrJha"), call("D681PevKs"), call("")),
        toolResult("D681PevKs", "two"),
        toolResult("call_PTLP8xhu3uwZk4l3nlnrrJha", "one")
      ]
      const [, { tool_calls: calls }, ...results] = yield* sentMessages(history, withPreset(Provider.mistral))
      const ids = calls.map(({ id }: { readonly id: string }) => id)
      assert.lengthOf(new Set(ids), 3)
      for (const id of ids) assert.match(id, /^[A-Za-z0-9]{9}$/)
      assert.strictEqual(ids[1], "D681PevKs")
      assert.deepStrictEqual(results.map((result: { readonly tool_call_id: string }) => result.tool_call_id), ids)
      const [, later] = yield* sentMessages([...history, assistant("x"), user("b")], withPreset(Provider.mistral))
      assert.deepStrictEqual(later.tool_calls, calls)
    }))

  it.effect("have ids that the model's chat template accepts, on any server", () =>
    Effect.gen(function*() {
      const history = [
        user("a"),
        calling(call("functions.f:0"), call("call_1")),
        toolResult("functions.f:0", "one"),
        user("b")
      ]
      const idsFor = (model: string) =>
        Effect.map(sentMessages(history, { config: { model } }), (messages) =>
          messages.flatMap((message: SentMessage) =>
            message.tool_calls ?? []
          ).map(({ id }: { readonly id: string }) => id))
      assert.deepStrictEqual(yield* idsFor("kimi-k2"), ["functions.f:0", "call_1"])
      const [changed, unchanged] = yield* idsFor("anthropic/claude-sonnet-4.5")
      assert.match(changed, /^[\w-]{1,64}$/)
      assert.strictEqual(unchanged, "call_1")
      for (const id of yield* idsFor("mistralai/Devstral-Small-2507")) {
        assert.match(id, /^[A-Za-z0-9]{9}$/)
      }
    }))

  it.effect("have ids of at most 40 characters for OpenAI", () =>
    Effect.gen(function*() {
      const history = [user("a"), calling(call("x".repeat(41)), call("x".repeat(40)))]
      const [, { tool_calls: [long, short] }] = yield* sentMessages(history, withPreset(Provider.openai))
      assert.match(long.id, /^call_[a-z0-9]{9}$/)
      assert.strictEqual(short.id, "x".repeat(40))
    }))

  for (
    const [text, arguments_] of [
      ["", {}],
      [" {\"a\": 1} ", { a: 1 }],
      ["{\"path\":\"a.md\",\"text\":\"C:\\q\"", { arguments: "{\"path\":\"a.md\",\"text\":\"C:\\q\"" }],
      ["null", {}],
      ["[1]", { arguments: [1] }],
      ["\"{\\\"a\\\":1}\"", { a: 1 }],
      ["\"a\"", { arguments: "a" }]
    ] as const
  ) {
    it.effect(`have a JSON object as their arguments, even if the model sent ${text} (crush#3153)`, () =>
      Effect.map(
        sentMessages([user("a"), calling(call("1", "f", text))]),
        ([, { tool_calls: [sentCall] }]) => assert.deepStrictEqual(JSON.parse(sentCall.function.arguments), arguments_)
      ))
  }

  it.effect("are text in a request without tools (opencode#10259), except for servers that accept them", () =>
    Effect.gen(function*() {
      const history = [
        user("a"),
        { ...calling(call("1", "f", "{\"x\":1}")), content: "Let me see" },
        toolResult("1", "one"),
        assistant("It is one"),
        user("b")
      ]
      for (const options of [undefined, { tools: [] }]) {
        assert.deepStrictEqual(outline(yield* sentMessages(history, { options })), [
          "user: a",
          "assistant: Let me see\n\nCalled the tool f with {\"x\":1}",
          "user: The result of the tool f: one",
          "assistant: It is one",
          "user: b"
        ])
      }
      const [, { tool_calls }] = yield* sentMessages(history, { ...withPreset(Provider.openai), options: {} })
      assert.lengthOf(tool_calls, 1)
      const extraBody = { tools: [{ type: "function", function: { name: "f" } }] }
      assert.lengthOf((yield* sentMessages(history, { options: { extraBody } }))[1].tool_calls, 1)
    }))

  it.effect("have null as their content if the text is blank (hermes-agent#67978)", () =>
    Effect.map(
      sentMessages([user("a"), { ...calling(call("1")), content: "\n\n" }]),
      ([, message]) => assert.isNull(message.content)
    ))

  it.effect("have names that servers accept, and keep those of the request's tools", () =>
    Effect.gen(function*() {
      const history = [user("a"), calling(call("1", ""), call("2", "get time!"), call("3", "mcp.x/y"))]
      const messages: ReadonlyArray<SentMessage> = yield* sentMessages(history, {
        options: { tools: [{ name: "mcp.x/y" }] }
      })
      const names = messages.flatMap((message) => message.tool_calls ?? []).map((one) => one.function.name)
      assert.deepStrictEqual(names, ["unknown", "get_time_", "mcp.x/y"])
    }))
})

describe("Opaque fields", () => {
  const opaque = {
    origin: "http://server.test",
    model: "m",
    fields: { reasoning_details: [{ type: "reasoning.encrypted", data: "ZW5j" }] }
  }
  const history: ReadonlyArray<ChatMessage.ChatMessage> = [
    user("a"),
    { ...calling({ ...call("1"), extra: { extra_content: { google: { thought_signature: "EjQ" } } } }), opaque },
    toolResult("1", "one")
  ]

  it.effect("are sent back unchanged to the origin and model that sent them (openclaude#76, rust-genai#298)", () =>
    Effect.map(sentMessages(history, { config: { model: "m" } }), ([, message]) => {
      assert.deepStrictEqual(message.reasoning_details, opaque.fields.reasoning_details)
      assert.deepStrictEqual(message.tool_calls[0].extra_content, { google: { thought_signature: "EjQ" } })
    }))

  it.effect("are not sent to another model, origin or port", () =>
    Effect.forEach(
      [{ model: "m2" }, { model: "m", baseUrl: "https://server.test/v1" }, {
        model: "m",
        baseUrl: "http://server.test:81"
      }],
      (config) =>
        Effect.map(sentMessages(history, { config }), ([, message]) => {
          assert.notProperty(message, "reasoning_details")
          assert.notProperty(message.tool_calls[0], "extra_content")
        })
    ))

  it.effect("depend on the model of the call, not of the config", () =>
    Effect.map(
      sentMessages(history, { config: { model: "m2" }, options: { tools, model: "m" } }),
      ([, message]) => assert.property(message, "reasoning_details")
    ))

  it.effect("replace the text if they have its parts (vercel/ai#17930), but not the library's own fields", () => {
    const content = [{ type: "thinking", thinking: [] }, { type: "text", text: "b" }]
    const message: ChatMessage.AssistantMessage = {
      role: "assistant",
      content: "b",
      opaque: { ...opaque, fields: { content, role: "user", tool_calls: [] } }
    }
    return Effect.map(sentMessages([user("a"), message], { config: { model: "m" } }), (messages) => {
      assert.deepStrictEqual(messages[1], { role: "assistant", content })
    })
  })

  it.effect("keep an answer that has audio and no text", () => {
    const audioAnswer: ChatMessage.AssistantMessage = {
      role: "assistant",
      content: "",
      opaque: { ...opaque, fields: { audio: { id: "audio_1" } } }
    }
    return Effect.gen(function*() {
      const [, message] = yield* sentMessages([user("a"), audioAnswer, user("b")], { config: { model: "m" } })
      assert.deepStrictEqual(message, { role: "assistant", content: null, audio: { id: "audio_1" } })
      assert.lengthOf(yield* sentMessages([user("a"), audioAnswer, user("b")], { config: { model: "m2" } }), 1)
    })
  })
})

describe("User and system messages", () => {
  it.effect("are merged with their neighbours, whatever the messages contain (mistral-vibe#255)", () =>
    Effect.gen(function*() {
      const image = ChatMessage.imageUrl("https://images.test/a.png")
      const messages = yield* sentMessages([
        user("a"),
        user(" "),
        user([image]),
        assistant(" "),
        user("b"),
        assistant("c"),
        user("d"),
        user("e")
      ])
      assert.deepStrictEqual(messages, [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "image_url", image_url: { url: "https://images.test/a.png" } },
            { type: "text", text: "b" }
          ]
        },
        { role: "assistant", content: "c" },
        { role: "user", content: "d\n\ne" }
      ])
    }))

  it.effect("have the users' names, or labels in the text if they are merged or the server refuses names", () =>
    Effect.gen(function*() {
      const ada: ChatMessage.UserMessage = { role: "user", content: "hi", name: "ada l" }
      const bob: ChatMessage.UserMessage = { role: "user", content: [ChatMessage.text("ho")], name: "bob" }
      assert.deepStrictEqual(yield* sentMessages([ada, { ...ada, content: "hey" }, assistant("x"), bob]), [
        { role: "user", name: "ada_l", content: "hi\n\nhey" },
        { role: "assistant", content: "x" },
        { role: "user", name: "bob", content: [{ type: "text", text: "ho" }] }
      ])
      assert.deepStrictEqual(yield* sentMessages([ada, bob, user("and me")]), [
        {
          role: "user",
          content: [
            { type: "text", text: "ada l: hi" },
            { type: "text", text: "bob: ho" },
            { type: "text", text: "and me" }
          ]
        }
      ])
      assert.deepStrictEqual(yield* sentMessages([ada], withPreset(Provider.mistral)), [{
        role: "user",
        content: "ada l: hi"
      }])
    }))

  it.effect("are merged if there is no system role (lorax#215)", () =>
    Effect.map(
      sentMessages([system("be brief"), user("a"), assistant("b"), system("be long"), user("c")], {
        wire: { systemRole: "user" }
      }),
      (messages) =>
        assert.deepStrictEqual(outline(messages), ["user: be brief\n\na", "assistant: b", "user: be long\n\nc"])
    ))

  it.effect("start with one system message, or have several at any place if the server accepts them", () =>
    Effect.gen(function*() {
      const history = [system("be brief"), user("a"), assistant("b"), system("be long"), user("c")]
      assert.deepStrictEqual(outline(yield* sentMessages(history)), [
        "system: be brief\n\nbe long",
        "user: a",
        "assistant: b",
        "user: c"
      ])
      assert.lengthOf(yield* sentMessages(history, withPreset(Provider.openai)), 5)
    }))
})

describe("Reasoning", () => {
  it.effect("is sent if the preset requires it, even if it is empty (nanobot#2598, openclaw#73417)", () =>
    Effect.forEach(
      [Provider.moonshot, Provider.deepseek],
      (preset) =>
        Effect.map(
          sentMessages([user("a"), calling(call("1"))], withPreset(preset)),
          ([, message]) => assert.strictEqual(message.reasoning_content, "")
        )
    ))

  it.effect("is not sent to Groq and Mistral, which refuse it (freellmapi#1070, crush#1590)", () =>
    Effect.forEach([Provider.groq, Provider.mistral], (preset) =>
      Effect.map(
        sentMessages([user("a"), { ...assistant("b"), reasoning: "hm" }, user("c")], withPreset(preset)),
        ([, message]) => assert.deepStrictEqual(message, { role: "assistant", content: "b" })
      )))
})

describe("Text that is not well-formed Unicode", () => {
  it.effect("is made well-formed in messages, tools, schemas and arguments (cherry-studio#20614, opencode#17758)", () => {
    const loneSurrogate = "🎉".slice(0, 1)
    const schema = { type: "object", properties: { [loneSurrogate]: { type: "string", description: loneSurrogate } } }
    return Effect.map(
      stream(done, {
        messages: [
          system(loneSurrogate),
          { role: "user", content: [ChatMessage.text(`${loneSurrogate} \\ud83d 🎉`)], name: loneSurrogate },
          calling(
            call(
              loneSurrogate,
              loneSurrogate,
              `{"a":"${loneSurrogate}","b":"\\ud83d","c":"\\ud83c\\udf89","d":"\\\\ud83d"}`
            )
          )
        ],
        options: {
          tools: [{ name: loneSurrogate, description: loneSurrogate, parameters: schema }],
          stop: loneSurrogate,
          extraBody: { [loneSurrogate]: loneSurrogate }
        }
      }),
      ({ requests: [request] }) => {
        const text = request?.text ?? ""
        const body = JSON.parse(text)
        assert.strictEqual(body.messages[1].content[0].text, "\ufffd \\ud83d 🎉")
        const { arguments: arguments_ } = body.messages[2].tool_calls[0].function
        assert.deepStrictEqual(JSON.parse(arguments_), { a: "\ufffd", b: "\ufffd", c: "🎉", d: "\\ud83d" })
        assert.deepStrictEqual(Object.keys(body.tools[0].function.parameters.properties), ["\ufffd"])
        assert.notMatch(text, /(?<!\\)\\ud[89a-f]/i)
      }
    )
  })
})

describe("A conversation", () => {
  it.effect("continues after a changed prompt, a call that was never run, and two calls with the same id", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const { toolCalls } = yield* chat.chat("go", { tools })
      assert.deepStrictEqual(toolCalls.map(({ id }) => id), ["same", "same_1"])
      yield* chat.chat("and?")
      yield* chat.chat("never mind", { tools })
      const script = yield* ScriptedHttpClient.ScriptedHttpClient
      const request = (yield* script.requests).at(-1)
      assert.deepStrictEqual(outline(JSON.parse(request?.text ?? "").messages), [
        "system: S",
        "user: go",
        "assistant: same same_1",
        "tool: same: This tool call was not run.",
        "tool: same_1: This tool call was not run.",
        "user: and?",
        "assistant: a",
        "user: never mind"
      ])
    }).pipe(withScript([
      answer("", {
        choices: [{
          index: 0,
          message: {
            role: "assistant",
            content: null,
            tool_calls: tools.map((tool) => ({ id: "same", type: "function", function: { ...tool, arguments: "{}" } }))
          },
          finish_reason: "tool_calls"
        }]
      }),
      answer("a"),
      answer("b")
    ])))
})
