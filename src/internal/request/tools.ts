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
    parameters: toParameters(tool.parameters ?? noParameters),
    strict: tool.strict
  }
})

const noParameters = { type: "object", properties: {} }

/** The response format. */
export const toResponseFormat = (format: ResponseFormat): JsonRecord => {
  if (format.type !== "json_schema") return { type: format.type }
  const { type, ...rest } = format
  const name = format.name.replace(/[^\w-]/g, "_").slice(0, 64)
  return { type, json_schema: { ...rest, name, schema: withoutDialect(format.schema) } }
}

const splitWords = (words: string): ReadonlySet<string> => new Set(words.split(/\s+/))

/** Keywords whose value is a schema, or a list of schemas. */
const schemaKeywords = splitWords(
  `items prefixItems additionalItems contains additionalProperties propertyNames anyOf oneOf allOf not
  if then else unevaluatedItems unevaluatedProperties`
)

/** Keywords whose value is an object of schemas. */
const schemaMapKeywords = splitWords("properties patternProperties dependentSchemas $defs definitions")

/** The keywords that a schema has if it is only a reference. */
const referenceKeywords = splitWords("$ref $defs definitions")

/** Keywords that servers refuse at the root. */
const refusedAtRoot = ["$ref", "anyOf", "oneOf", "allOf", "not", "enum", "const", "if", "then", "else"]

/** The schema without `$schema` and `$id`, at any depth. Properties of these names stay. */
const withoutDialect = (schema: JsonRecord): JsonRecord => {
  const { $id, $schema: _dialect, ...rest } = schema
  // Effect's schema of an empty struct accepts everything that TypeScript's `{}` accepts.
  if ($id === "/schemas/%7B%7D" && "anyOf" in rest) {
    return withoutDialect(defined({ ...rest, anyOf: undefined, type: "object", properties: {} }))
  }
  return mapEntries(rest, (value, keyword) => {
    if (schemaMapKeywords.has(keyword) && isRecord(value)) return mapEntries(value, clean)
    return schemaKeywords.has(keyword) ? clean(value) : value
  })
}

const clean = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(clean)
  return isRecord(schema) ? withoutDialect(schema) : schema
}

const mapEntries = (record: JsonRecord, f: (value: unknown, key: string) => unknown): JsonRecord =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value, key)]))

/** The shape of the objects that a schema accepts. */
interface ObjectShape {
  readonly properties: JsonRecord
  readonly required: ReadonlyArray<unknown>
  readonly additionalProperties: unknown
  readonly title?: unknown
  readonly description?: unknown
}

const parametersCache = new WeakMap<JsonSchema, JsonRecord>()

/** The parameters of a tool. A schema that is not an object becomes the member `value` of one. */
export const toParameters = (schema: JsonSchema): JsonRecord => {
  const parameters = parametersCache.get(schema) ?? withObjectRoot(withoutDialect(schema))
  parametersCache.set(schema, parameters)
  return parameters
}

const withObjectRoot = (root: JsonRecord): JsonRecord => {
  const { $ref } = root
  if (typeof $ref === "string" && Object.keys(root).every((keyword) => referenceKeywords.has(keyword))) {
    const target = fieldsOf(resolve(root, $ref))
    if (isPlainObject(target)) return withDefinitions(target, root)
  }
  if (isPlainObject(root)) return isRecord(root["properties"]) ? root : { ...root, properties: {} }
  const value = { ...root, $defs: undefined, definitions: undefined }
  const shape = objectShapeOf(root, root, new Map()) ?? { properties: { value: defined(value) }, required: ["value"] }
  return withDefinitions(defined({ type: "object", ...shape }), root)
}

const isPlainObject = (schema: JsonRecord): boolean =>
  schema["type"] === "object" && !refusedAtRoot.some((keyword) => keyword in schema)

/** The object with the definitions of the root, if it refers to any. */
const withDefinitions = (object: JsonRecord, { $defs, definitions }: JsonRecord): JsonRecord => ({
  properties: {},
  ...object,
  ...(JSON.stringify(object).includes("\"$ref\"") ? defined({ $defs, definitions }) : {})
})

/** The shape of the objects that the schema accepts. Undefined if it accepts none. */
const objectShapeOf = (
  schema: unknown,
  root: JsonRecord,
  visited: Map<JsonRecord, ObjectShape | undefined>
): ObjectShape | undefined => {
  if (!isRecord(schema)) return schema === false ? undefined : anyObject
  if (visited.has(schema)) return visited.get(schema)
  // A schema that refers to itself adds no more properties.
  visited.set(schema, anyObject)
  const shape = newShape(schema, root, visited)
  visited.set(schema, shape)
  return shape
}

const newShape = (
  schema: JsonRecord,
  root: JsonRecord,
  visited: Map<JsonRecord, ObjectShape | undefined>
): ObjectShape | undefined => {
  const { $ref, additionalProperties, allOf, anyOf, description, oneOf, properties, required, title, type } = schema
  if (type !== undefined && !(asArray(type) ?? [type]).includes("object")) return undefined
  const shapesOf = (schemas: ReadonlyArray<unknown>) => schemas.map((part) => objectShapeOf(part, root, visited))
  const own: ObjectShape = {
    title,
    description,
    properties: fieldsOf(properties),
    required: itemsOf(required),
    additionalProperties
  }
  const targets = typeof $ref === "string" ? [resolve(root, $ref)] : []
  const all = [own, ...shapesOf([...targets, ...itemsOf(allOf)])]
  for (const alternatives of [anyOf, oneOf]) {
    if (Array.isArray(alternatives)) all.push(uniteShapes(shapesOf(alternatives)))
  }
  return all.every((shape) => shape !== undefined) ? all.reduce(intersectShapes) : undefined
}

const anyObject: ObjectShape = { properties: {}, required: [], additionalProperties: undefined }

const intersectShapes = (first: ObjectShape, second: ObjectShape): ObjectShape => ({
  properties: { ...second.properties, ...first.properties },
  required: [...new Set([...first.required, ...second.required])],
  additionalProperties: first.additionalProperties ?? second.additionalProperties,
  title: first.title ?? second.title,
  description: first.description ?? second.description
})

/** The shape with the properties of all shapes. Those that every shape requires are required. */
const uniteShapes = (members: ReadonlyArray<ObjectShape | undefined>): ObjectShape | undefined => {
  const shapes = members.filter((shape) => shape !== undefined)
  if (shapes.length === 0) return undefined
  const byKey = new Map<string, Array<unknown>>()
  for (const { properties } of shapes) {
    for (const [key, schema] of Object.entries(properties)) byKey.set(key, [...(byKey.get(key) ?? []), schema])
  }
  return {
    properties: Object.fromEntries([...byKey].map(([key, schemas]) => [key, uniteSchemas(schemas)])),
    required: (shapes[0] ?? anyObject).required.filter((key) => shapes.every(({ required }) => required.includes(key))),
    additionalProperties: shapes.every(({ additionalProperties }) => additionalProperties === false) ? false : undefined
  }
}

/** A schema that accepts a value if one of the schemas does. Literals of one type, such as tags, become one `enum`. */
const uniteSchemas = (schemas: ReadonlyArray<unknown>): unknown => {
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
  let target: unknown = root
  for (const key of reference.slice(1).split("/").slice(1)) {
    const name = key.replaceAll("~1", "/").replaceAll("~0", "~")
    target = Object.hasOwn(fieldsOf(target), name) ? fieldsOf(target)[name] : undefined
  }
  return target ?? {}
}
