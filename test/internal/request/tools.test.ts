import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc, Schema } from "effect"
import { CallOptions } from "effect-chat"
import { toParameters } from "../../../src/internal/request/tools.ts"

const toolParameters = <A, I>(schema: Schema.Schema<A, I>) =>
  toParameters(CallOptions.tool({ name: "f", parameters: schema }).parameters ?? {})

class Order extends Schema.Class<Order>("Order")({ dish: Schema.String, count: Schema.Int }) {}

interface Category {
  readonly name: string
  readonly children: ReadonlyArray<Category>
}

const Category = Schema.Struct({
  name: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Schema<Category> => Category))
}).annotations({ identifier: "a/b~c", description: "a category" })

const text = { type: "string" }

const closed = (properties: object, required: ReadonlyArray<string> = Object.keys(properties)) => ({
  type: "object",
  required,
  properties,
  additionalProperties: false
})

describe("The parameters of a tool", () => {
  it("are an object without properties for an empty struct", () => {
    assert.deepStrictEqual(toolParameters(Schema.Struct({})), { type: "object", properties: {} })
    assert.deepStrictEqual(
      toolParameters(Schema.Struct({ a: Schema.Struct({}) })),
      closed({ a: { type: "object", properties: {} } })
    )
  })

  it("are the object itself for a schema with a name and for a class", () => {
    const namedSchema = Schema.Struct({ a: Schema.String }).annotations({ identifier: "Named", title: "t" })
    assert.deepStrictEqual(toolParameters(namedSchema), { ...closed({ a: text }), title: "t" })
    assert.deepNestedInclude(toolParameters(Order), { type: "object", required: ["dish", "count"] })
    assert.sameMembers(Object.keys(Object(toolParameters(Order)["properties"])), ["dish", "count"])
  })

  it("keep the definitions that a recursive schema refers to, under names that need an escape", () => {
    const properties = { name: text, children: { type: "array", items: { $ref: "#/$defs/a~1b~0c" } } }
    const category = { ...closed(properties), description: "a category" }
    assert.deepStrictEqual(toolParameters(Category), { ...category, $defs: { "a/b~c": category } })
  })

  it("have the properties of all members of a union, and require those that each member requires", () => {
    const union = Schema.Union(
      Schema.TaggedStruct("A", { x: Schema.String, y: Schema.String }),
      Schema.Union(Schema.TaggedStruct("B", { x: Schema.Number }), Schema.Null),
      Schema.TaggedStruct("C", { x: Schema.String })
    ).annotations({ identifier: "AnyOf", description: "d" })
    assert.deepStrictEqual(toolParameters(union), {
      ...closed({
        _tag: { type: "string", enum: ["A", "B", "C"] },
        x: { anyOf: [text, { type: "number" }] },
        y: text
      }, ["_tag", "x"]),
      description: "d"
    })
  })

  it("allow additional properties if a member of a union does", () => {
    const record = Schema.Record({ key: Schema.String, value: Schema.Number })
    assert.notProperty(
      toolParameters(Schema.Union(Schema.Struct({ a: Schema.String }), record)),
      "additionalProperties"
    )
    assert.deepNestedInclude(toolParameters(record), { type: "object", additionalProperties: { type: "number" } })
  })

  it("have no $schema and $id keywords, but keep properties with these names", () => {
    const schema = {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      $id: "x",
      type: "object",
      properties: {
        $schema: text,
        $id: { $id: "y", ...text },
        inner: { items: [{ $schema: "z" }], default: { $id: 1 } }
      }
    }
    assert.deepStrictEqual(toParameters(schema), {
      type: "object",
      properties: { $schema: text, $id: text, inner: { items: [{}], default: { $id: 1 } } }
    })
  })

  it("merge the parts of an allOf", () => {
    assert.deepStrictEqual(
      toParameters({
        allOf: [{ $ref: "#/definitions/A" }, { type: "object", properties: { b: text }, required: ["b"] }],
        definitions: { A: { type: ["object", "null"], properties: { a: text }, required: ["a"] } }
      }),
      { type: "object", properties: { b: text, a: text }, required: ["a", "b"] }
    )
  })

  it("wrap a value that is not an object in a property", () => {
    assert.deepStrictEqual(toolParameters(Schema.String), {
      type: "object",
      properties: { value: text },
      required: ["value"]
    })
  })

  it("are an object with any properties if the schema does not restrict them", () => {
    for (const schema of [{}, { $ref: "#" }, { $ref: "#/$defs/no" }, { $ref: "https://x.test/y" }, { anyOf: [true] }]) {
      assert.deepStrictEqual(toParameters(schema), { type: "object", properties: {}, required: [] })
    }
    assert.deepStrictEqual(toParameters({ type: "object" }), { type: "object", properties: {} })
  })

  const { schema } = fc.letrec((tie) => ({
    schema: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom<unknown>(
        {},
        { type: "string" },
        { type: "object" },
        { $ref: "#/$defs/A" },
        { $ref: "#" },
        true,
        false
      ),
      fc.record({
        $schema: fc.constant("http://json-schema.org/draft-07/schema#"),
        $id: fc.constantFrom("/schemas/%7B%7D", "/schemas/any"),
        type: fc.constantFrom<unknown>("object", "array", "string", ["object", "null"]),
        properties: fc.dictionary(fc.constantFrom("a", "b", "$schema", "__proto__"), tie("schema"), { maxKeys: 2 }),
        required: fc.constantFrom<unknown>([], ["a"]),
        items: tie("schema"),
        anyOf: fc.array(tie("schema"), { maxLength: 2 }),
        oneOf: fc.array(tie("schema"), { maxLength: 2 }),
        allOf: fc.array(tie("schema"), { maxLength: 2 }),
        $ref: fc.constantFrom("#/$defs/A", "#/$defs/none", "#", "other.json#/x"),
        $defs: fc.record({ A: tie("schema") })
      }, { requiredKeys: [] })
    )
  }))

  it.prop("are a plain object at the root, whatever the schema", [schema], ([schema]) => {
    const root = typeof schema === "object" && schema !== null ? schema : {}
    const parameters = toParameters({ ...root })
    assert.strictEqual(parameters["type"], "object")
    assert.isObject(parameters["properties"])
    for (const keyword of ["$ref", "$schema", "$id", "anyOf", "oneOf", "allOf", "not", "enum"]) {
      assert.notProperty(parameters, keyword)
    }
    assert.notMatch(JSON.stringify(parameters), /"\$schema":"http|"\$id":"/)
  })
})
