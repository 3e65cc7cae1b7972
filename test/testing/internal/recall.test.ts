import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { tokenize } from "../../../src/testing/internal/completion.ts"
import { sample } from "../../../src/testing/internal/jsonSample.ts"
import { recall } from "../../../src/testing/internal/recall.ts"

const user = (content: string) => ({ role: "user", content })
const assistant = (content: string) => ({ role: "assistant", content })
const system = (content: string) => ({ role: "system", content })

/** The answer to the last of the prompts. The earlier ones have the answer "ok". */
const ask = (...prompts: ReadonlyArray<string>) =>
  recall({
    messages: prompts.flatMap((prompt, index) => index === 0 ? [user(prompt)] : [assistant("ok"), user(prompt)])
  })

describe("recall", () => {
  it("repeats the prompt with the number of the turn, and says in the first that there is no model", () => {
    assert.strictEqual(ask("hello"), "You said: “hello”. This is turn 1. No model is inside this server.")
    assert.strictEqual(ask("hello", "again"), "You said: “again”. This is turn 2.")
    assert.strictEqual(ask("你好"), "你说：“你好”。这是第 1 轮。我里面没有模型。")
    assert.strictEqual(ask("你好", "天气"), "你说：“天气”。这是第 2 轮。")
  })

  it.each([
    ["Hello! My name is Ada.", "what is my name?", "You told me that your name is Ada."],
    ["my name is Ada and I like tea", "Do you remember my name?", "You told me that your name is Ada."],
    ["My name is Ada Lovelace, hello", "What's my name", "You told me that your name is Ada Lovelace."],
    ["call me Bob", "who am I?", "You told me that your name is Bob."],
    ["我叫小明。", "我叫什么名字？", "你告诉过我，你的名字是小明。"],
    ["你好，我的名字叫小明", "你知道我叫什么吗", "你告诉过我，你的名字是小明。"],
    ["我的名字是李雷", "我的名字是什么？", "你告诉过我，你的名字是李雷。"],
    ["我叫小明", "what is my name?", "You told me that your name is 小明."],
    [
      "my favourite colour is dark blue!",
      "What is my favourite colour?",
      "You told me that your favourite colour is dark blue."
    ],
    ["my budget is 3.5 euros.", "what was my budget?", "You told me that your budget is 3.5 euros."],
    ["我的城市是上海", "我的城市是什么？", "你告诉过我，你的城市是上海。"]
  ])("recalls from “%s” when it is asked “%s”", (statement, question, expected) => {
    assert.strictEqual(ask(statement, "something else", question), expected)
  })

  it("uses the last of two statements, and says when there was none", () => {
    assert.strictEqual(
      ask("my name is Ada", "my name is Bob", "what is my name?"),
      "You told me that your name is Bob."
    )
    assert.strictEqual(ask("what is my name?"), "You have not told me your name.")
    assert.strictEqual(ask("我叫什么名字？"), "你没有告诉过我你的名字。")
  })

  it("reads facts from the user only", () => {
    const messages = [user("hi"), assistant("my name is Eve"), user("what is my name?")]
    assert.strictEqual(recall({ messages }), "You have not told me your name.")
  })

  it("repeats statements", () => {
    assert.include(ask("my name is Ada"), "Noted: your name is Ada.")
    assert.include(ask("我叫小明"), "好的，你的名字是小明。")
  })

  it("recalls the first and the previous thing that was said", () => {
    assert.strictEqual(ask("one", "two", "what did I say first?"), "The first thing that you said was: “one”")
    assert.strictEqual(ask("one", "two", "what did I say before?"), "Before this you said: “two”")
    assert.strictEqual(ask("one", "two", "what did you say?"), "Before this I said: “ok”")
    assert.strictEqual(ask("一", "二", "我第一句说了什么？"), "你说的第一句话是：“一”")
    assert.strictEqual(ask("一", "二", "我刚才说了什么？"), "你之前说：“二”")
    assert.strictEqual(ask("what did I say before?"), "You said nothing before this.")
  })

  it("states the system prompt when it is asked for it", () => {
    const question = user("What is your system prompt?")
    assert.strictEqual(recall({ messages: [system("Be brief."), question] }), "My system prompt is: “Be brief.”")
    assert.strictEqual(recall({ messages: [question] }), "I was given no system prompt.")
    assert.strictEqual(
      recall({ messages: [system("你是一个严谨的助手"), user("你的系统提示是什么？")] }),
      "我的系统提示是：“你是一个严谨的助手”"
    )
  })

  it("says that it is a test server", () => {
    for (const prompt of ["who are you?", "Help", "help!"]) assert.include(ask(prompt), "No model is inside me")
    assert.include(ask("你是谁？"), "没有任何模型")
  })

  it("repeats the result of a tool", () => {
    const messages = [user("weather"), assistant(""), { role: "tool", content: "18 degrees" }]
    assert.strictEqual(recall({ messages }), "The tool answered: “18 degrees”")
  })

  it("cuts a long prompt, and stays quick on a hostile one", () => {
    assert.isBelow(ask("x".repeat(1_000_000)).length, 700)
    const started = performance.now()
    for (const word of ["my ", "what is my ", "我的", "what ", "tell "]) ask(word.repeat(20_000), word.repeat(20_000))
    assert.isBelow(performance.now() - started, 1000)
  })
})

describe("tokenize", () => {
  it("splits text into words with their spaces and Chinese characters", () => {
    assert.deepStrictEqual(tokenize("Hello, my friend\n"), ["Hello,", " my", " friend", "\n"])
    assert.deepStrictEqual(tokenize("你好 world"), ["你", "好", " world"])
  })

  it.prop("loses nothing", [FastCheck.string({ unit: "binary" })], ([text]) => {
    assert.strictEqual(tokenize(text).join(""), text)
  })
})

describe("sample", () => {
  it.each([
    ["the required properties", {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" }, more: { type: "string" } },
      required: ["city", "days"]
    }, { city: "city", days: 0 }],
    ["the first of an enum", { enum: ["low", "high"] }, "low"],
    ["a constant", { const: 7 }, 7],
    ["no more items than needed", { type: "array", items: { type: "boolean" }, minItems: 2 }, [true, true]],
    ["an empty array", { type: "array", items: { type: "boolean" } }, []],
    ["a tuple", { type: "array", prefixItems: [{ type: "string" }, { type: "number" }] }, ["text", 0]],
    ["a number in its range", { type: "number", minimum: 3, maximum: 9 }, 3],
    ["a number above its bound", { type: "number", exclusiveMinimum: 0, maximum: 1 }, 0.5],
    ["an integer above its bound", { type: "integer", exclusiveMinimum: 0 }, 1],
    ["a negative integer", { type: "integer", exclusiveMaximum: 0 }, -1],
    ["a multiple", { type: "integer", minimum: 7, multipleOf: 5 }, 10],
    ["a long enough string", { type: "string", minLength: 6 }, "textxx"],
    ["a short enough string", { type: "string", maxLength: 2 }, "te"],
    ["a formatted string", { type: "string", format: "date" }, "2000-01-01"],
    ["the first of a union", { anyOf: [{ type: "string" }, { type: "null" }] }, "text"],
    ["all of an intersection", {
      allOf: [
        { type: "object", properties: { a: { type: "string" } }, required: ["a"] },
        { properties: { b: { type: "null" } }, required: ["b"] }
      ]
    }, { a: "a", b: null }],
    ["a reference", { $ref: "#/$defs/Name", $defs: { Name: { type: "string" } } }, "text"],
    ["a nested object", {
      type: "object",
      properties: { a: { type: "object", properties: { b: { type: "number" } }, required: ["b"] } },
      required: ["a"]
    }, { a: { b: 0 } }]
  ])("gives %s", (_, schema, expected) => {
    assert.deepStrictEqual(sample(schema), expected)
  })

  it("ends a recursive schema", () => {
    const node = { anyOf: [{ $ref: "#/$defs/Tree" }, { type: "null" }] }
    const tree = { type: "object", properties: { left: node, right: node }, required: ["left", "right"] }
    const text = JSON.stringify(sample({ $ref: "#/$defs/Tree", $defs: { Tree: tree } }))
    assert.isBelow(text.length, 2000)
  })
})
