import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, LogLevel } from "effect"
import { make, names, odd, resultOf, textOf, tool } from "../support/mcp/fakeServer.ts"

const listing = (...tools: ReadonlyArray<unknown>) => ({ "tools/list": { result: { tools } } })

const object = { type: "object", properties: {} }

/** The result that the model receives for a result of the server. */
const told = (result: Record<string, unknown>) =>
  Effect.gen(function*() {
    const { toolSet } = yield* odd({ ...listing(tool("a")), "tools/call": { result } })
    return textOf(yield* resultOf(toolSet, "a"))
  })

describe("A tool list that violates the protocol", () => {
  const cases: ReadonlyArray<readonly [title: string, tool: object]> = [
    ["an output schema that does not compile", {
      outputSchema: { ...object, properties: { at: { $ref: "#/$defs/X" } } }
    }],
    ["an output schema with an unknown type", {
      outputSchema: { ...object, properties: { at: { type: "any" } } }
    }],
    ["an output schema without a type", { outputSchema: { anyOf: [object, object] } }],
    ["a property with the schema true", { inputSchema: { type: "object", properties: { at: true } } }],
    ["no type at the root of its input schema", { inputSchema: { properties: {} } }],
    ["a list of types at the root of its input schema", { inputSchema: { type: ["object", "null"] } }],
    ["no input schema", { inputSchema: undefined }],
    ["required members that are not a list", { inputSchema: { ...object, required: true } }],
    ["the description null", { description: null }],
    ["annotations and icons of another type", { annotations: ["read"], icons: "x", title: 1 }]
  ]
  for (const [title, more] of cases) {
    it.scopedLive(`is read completely despite ${title}`, () =>
      Effect.gen(function*() {
        const odder = { name: "odd", description: "Odd.", inputSchema: object, ...more }
        const { toolSet } = yield* odd({
          ...listing(tool("a"), odder, tool("b")),
          "tools/call": { result: { content: [{ type: "text", text: "done" }], structuredContent: { at: "home" } } }
        })

        assert.deepStrictEqual(yield* names(toolSet), ["a", "odd", "b"])
        assert.strictEqual(textOf(yield* resultOf(toolSet, "odd")), "done")
      }))
  }

  it.scopedLive("keeps the valid members of a tool, such as its annotations", () =>
    Effect.gen(function*() {
      const readOnly = tool("a", { annotations: { readOnlyHint: true } })
      const { toolSet } = yield* odd(listing({ ...readOnly, outputSchema: { anyOf: [] } }, tool("b")), {
        include: ({ annotations }) => annotations?.readOnlyHint === true
      })

      assert.deepStrictEqual(yield* names(toolSet), ["a"])
    }))

  it.scopedLive("omits a tool without a name", () =>
    Effect.gen(function*() {
      const { toolSet } = yield* odd(listing(tool("a"), { inputSchema: object }, null, tool("")))

      assert.deepStrictEqual(yield* names(toolSet), ["a"])
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

  it.scopedLive("omits a tool that can only run as a task", () =>
    Effect.gen(function*() {
      const { toolSet } = yield* make([
        tool("a"),
        tool("research", { execution: { taskSupport: "required" } }),
        tool("b", { execution: { taskSupport: "optional" } })
      ])

      assert.deepStrictEqual(yield* names(toolSet), ["a", "b"])
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))

  it.scopedLive("contains tools without parameters, which have an empty object schema", () =>
    Effect.gen(function*() {
      const { toolSet } = yield* odd(listing({ name: "a", inputSchema: { type: "object" } }))

      assert.deepStrictEqual((yield* toolSet.current).map(({ parameters }) => parameters), [object])
    }))
})

describe("A server without tools", () => {
  it.scopedLive("has an empty list and no failure", () =>
    Effect.gen(function*() {
      const { requests, toolSet } = yield* odd({})

      assert.deepStrictEqual(yield* names(toolSet), [])
      assert.isUndefined(yield* toolSet.failure)
      assert.lengthOf(requests.filter((method) => method === "tools/list"), 1)
    }))
})

describe("A result that violates the protocol is sent to the model", () => {
  it.scopedLive("with blocks of unknown types as JSON, without base64 data", () =>
    Effect.gen(function*() {
      const data = "QUJD".repeat(100)
      const text = yield* told({
        content: [{ type: "json", json: { price: 12 } }, { type: "video", data, mimeType: "video/mp4" }]
      })

      assert.include(text, "{\"price\":12}")
      assert.include(text, "video/mp4")
      assert.notInclude(text, "QUJD")
    }))

  it.scopedLive("with a text instead of a list", () =>
    Effect.map(told({ content: "Hello" }), (text) => assert.strictEqual(text, "Hello")))

  it.scopedLive("with one block instead of a list", () =>
    Effect.map(told({ content: { type: "text", text: "Hello" } }), (text) => assert.strictEqual(text, "Hello")))

  it.scopedLive("in the format of the first protocol version", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* told({ toolResult: { content: [{ type: "text", text: "Hello" }] } }), "Hello")
      assert.strictEqual(yield* told({ toolResult: "Hello" }), "Hello")
    }))

  it.scopedLive("with its content in other members", () =>
    Effect.map(
      told({ success: true, rows: [1], _meta: {} }),
      (text) => assert.strictEqual(text, "{\"success\":true,\"rows\":[1]}")
    ))

  it.scopedLive("with structured content that is a list", () =>
    Effect.map(told({ structuredContent: [1, 2] }), (text) => assert.strictEqual(text, "[1,2]")))

  it.scopedLive("with its text, even if the structured content violates the output schema", () =>
    Effect.gen(function*() {
      const strict = tool("a", { outputSchema: { type: "object", properties: {}, additionalProperties: false } })
      const { fake, toolSet } = yield* make([strict])
      fake.answer = () =>
        Promise.resolve({ content: [{ type: "text", text: "Deployed as 42" }], structuredContent: { id: 42 } })
      const text = textOf(yield* resultOf(toolSet, "a"))

      assert.include(text, "does not match the tool's output schema")
      assert.include(text, "Deployed as 42")
    }))
})

describe("A resource in a result", () => {
  it.scopedLive("keeps its URI, type and description", () =>
    Effect.gen(function*() {
      const text = yield* told({
        content: [
          { type: "resource", resource: { uri: "file:///a.txt", text: "A note" } },
          {
            type: "resource_link",
            name: "b",
            uri: "file:///b.txt",
            mimeType: "text/plain",
            description: "Another note"
          }
        ]
      })

      assert.include(text, "[resource file:///a.txt]\nA note")
      assert.include(text, "[resource b: file:///b.txt, text/plain, Another note]")
    }))
})
