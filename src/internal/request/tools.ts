/**
 * Converts the tools and the response format of a request to JSON.
 */
import type { CallOptions, JsonSchema, ResponseFormat, Tool } from "../../CallOptions.ts"
import type { Wire } from "../../Provider.ts"
import { asArray, defined, fieldsOf, isRecord, itemsOf, type JsonRecord } from "../json.ts"

/** The tools and the choice between them. */
export const toolMembers = ({ toolChoice, tools = [] }: CallOptions, wire: Wire): JsonRecord => {
  if (typeof toolChoice !== "object") return { tools: tools.map(toTool), tool_choice: toolChoice }
  const { name } = toolChoice
  const chosen = tools.filter((tool) => tool.name === name)
  return wire.namedToolChoice === "required" && chosen.length > 0
    ? { tools: chosen.map(toTool), tool_choice: "required" }
    : { tools: tools.map(toTool), tool_choice: { type: "function", function: { name } } }
}

const toTool = (tool: Tool): JsonRecord => ({
  type: "function",
  function: {
    name: tool.name,
    description: tool.description,
    parameters: toParameters(tool.parameters ?? none),
    strict: tool.strict
  }
})

const none = { type: "object", properties: {} }

/** The response format. */
export const toResponseFormat = (format: ResponseFormat): JsonRecord => {
  if (format.type !== "json_schema") return { type: format.type }
  const { type, ...more } = format
  const name = format.name.replace(/[^\w-]/g, "_").slice(0, 64)
  return { type, json_schema: { ...more, name, schema: withoutDialect(format.schema) } }
}

const split = (words: string): ReadonlySet<string> => new Set(words.split(/\s+/))

/** Keywords whose value is a schema, or a list of schemas. */
const inner = split(`items prefixItems additionalItems contains additionalProperties propertyNames anyOf oneOf allOf not
  if then else unevaluatedItems unevaluatedProperties`)

/** Keywords whose members are schemas. */
const byName = split("properties patternProperties dependentSchemas $defs definitions")

/** The keywords of a schema that is only a reference. */
const isReference = split("$ref $defs definitions")

/** Keywords that servers refuse at the root. */
const notAtRoot = ["$ref", "anyOf", "oneOf", "allOf", "not", "enum", "const", "if", "then", "else"]

/** The schema without `$schema` and `$id`, at any depth. Properties of these names stay. */
export const withoutDialect = (schema: JsonRecord): JsonRecord => {
  const { $id, $schema: _dialect, ...rest } = schema
  // Effect's schema of an empty struct accepts everything that TypeScript's `{}` accepts.
  if ($id === "/schemas/%7B%7D" && "anyOf" in rest) {
    return withoutDialect(defined({ ...rest, anyOf: undefined, type: "object", properties: {} }))
  }
  return mapEntries(rest, (value, keyword) => {
    if (byName.has(keyword) && isRecord(value)) return mapEntries(value, clean)
    return inner.has(keyword) ? clean(value) : value
  })
}

const clean = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(clean)
  return isRecord(schema) ? withoutDialect(schema) : schema
}

const mapEntries = (record: JsonRecord, f: (value: unknown, key: string) => unknown): JsonRecord =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]))

/** The shape of the objects that a schema accepts. */
interface Shape {
  readonly properties: JsonRecord
  readonly required: ReadonlyArray<unknown>
  readonly additionalProperties: unknown
  readonly title?: unknown
  readonly description?: unknown
}

const known = new WeakMap<JsonSchema, JsonRecord>()

/** The parameters of a tool. A schema that is not an object becomes the member `value` of one. */
export const toParameters = (schema: JsonSchema): JsonRecord => {
  const parameters = known.get(schema) ?? withObjectRoot(withoutDialect(schema))
  known.set(schema, parameters)
  return parameters
}

const withObjectRoot = (root: JsonRecord): JsonRecord => {
  const { $ref } = root
  if (typeof $ref === "string" && Object.keys(root).every((keyword) => isReference.has(keyword))) {
    const referred = fieldsOf(resolve(root, $ref))
    if (isPlainObject(referred)) return withDefinitions(referred, root)
  }
  if (isPlainObject(root)) return isRecord(root["properties"]) ? root : { ...root, properties: {} }
  const value = { ...root, $defs: undefined, definitions: undefined }
  const shape = shapeOf(root, root, new Map()) ?? { properties: { value: defined(value) }, required: ["value"] }
  return withDefinitions(defined({ type: "object", ...shape }), root)
}

const isPlainObject = (schema: JsonRecord): boolean =>
  schema["type"] === "object" && !notAtRoot.some((keyword) => keyword in schema)

/** The object with the definitions of the root, if it refers to any. */
const withDefinitions = (object: JsonRecord, { $defs, definitions }: JsonRecord): JsonRecord => ({
  properties: {},
  ...object,
  ...(JSON.stringify(object).includes("\"$ref\"") ? defined({ $defs, definitions }) : {})
})

/** The shape of the objects that the schema accepts. Undefined if it accepts none. */
const shapeOf = (schema: unknown, root: JsonRecord, found: Map<JsonRecord, Shape | undefined>): Shape | undefined => {
  if (!isRecord(schema)) return schema === false ? undefined : open
  if (found.has(schema)) return found.get(schema)
  // A schema that refers to itself adds nothing more.
  found.set(schema, open)
  const shape = newShape(schema, root, found)
  found.set(schema, shape)
  return shape
}

const newShape = (
  schema: JsonRecord,
  root: JsonRecord,
  found: Map<JsonRecord, Shape | undefined>
): Shape | undefined => {
  const { $ref, additionalProperties, allOf, anyOf, description, oneOf, properties, required, title, type } = schema
  if (type !== undefined && !(asArray(type) ?? [type]).includes("object")) return undefined
  const shapes = (schemas: ReadonlyArray<unknown>) => schemas.map((part) => shapeOf(part, root, found))
  const own: Shape = {
    title,
    description,
    properties: fieldsOf(properties),
    required: itemsOf(required),
    additionalProperties
  }
  const referred = typeof $ref === "string" ? [resolve(root, $ref)] : []
  const all = [own, ...shapes([...referred, ...itemsOf(allOf)])]
  for (const union of [anyOf, oneOf]) if (Array.isArray(union)) all.push(either(shapes(union)))
  return all.every((shape) => shape !== undefined) ? all.reduce(both) : undefined
}

const open: Shape = { properties: {}, required: [], additionalProperties: undefined }

const both = (one: Shape, other: Shape): Shape => ({
  properties: { ...other.properties, ...one.properties },
  required: [...new Set([...one.required, ...other.required])],
  additionalProperties: one.additionalProperties ?? other.additionalProperties,
  title: one.title ?? other.title,
  description: one.description ?? other.description
})

/** The members of all shapes. Those that every shape requires are required. */
const either = (members: ReadonlyArray<Shape | undefined>): Shape | undefined => {
  const shapes = members.filter((shape) => shape !== undefined)
  if (shapes.length === 0) return undefined
  const byKey = new Map<string, Array<unknown>>()
  for (const { properties } of shapes) {
    for (const [key, schema] of Object.entries(properties)) byKey.set(key, [...(byKey.get(key) ?? []), schema])
  }
  return {
    properties: Object.fromEntries([...byKey].map(([key, schemas]) => [key, union(schemas)])),
    required: (shapes[0] ?? open).required.filter((key) => shapes.every(({ required }) => required.includes(key))),
    additionalProperties: shapes.every(({ additionalProperties }) => additionalProperties === false) ? false : undefined
  }
}

/** A schema that accepts the values of all the schemas. Literals of one type, such as tags, become one list. */
const union = (schemas: ReadonlyArray<unknown>): unknown => {
  const distinct = [...new Map(schemas.map((schema) => [JSON.stringify(schema), schema])).values()]
  const [first] = distinct
  if (distinct.length === 1) return first
  const { type } = fieldsOf(first)
  const literals = distinct.map((schema) => {
    const { enum: values, type: own, ...rest } = fieldsOf(schema)
    return own === type && Object.keys(rest).length === 0 ? asArray(values) : undefined
  })
  return literals.every((values) => values !== undefined)
    ? defined({ type, enum: [...new Set(literals.flat())] })
    : { anyOf: distinct }
}

/** The target of a reference within the document. */
const resolve = (root: JsonRecord, reference: string): unknown => {
  if (!reference.startsWith("#")) return {}
  let found: unknown = root
  for (const key of reference.slice(1).split("/").slice(1)) {
    const name = key.replaceAll("~1", "/").replaceAll("~0", "~")
    found = Object.hasOwn(fieldsOf(found), name) ? fieldsOf(found)[name] : undefined
  }
  return found ?? {}
}
