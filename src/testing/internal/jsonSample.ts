/**
 * Makes a value that a JSON Schema accepts, for the tool calls and JSON answers of a `LocalServer`.
 */
import { isRecord } from "./chatRequest.ts"

type Json = Readonly<Record<string, unknown>>

/**
 * The smallest value that a JSON Schema accepts, always the same one: only required properties, the first value of an
 * `enum` or a union, and arrays as short as possible. Ignores patterns. Throws a {@link SampleError} if the value is too
 * large.
 */
export const sample = (schema: unknown): unknown => {
  const maxSize = 1_000_000
  return build(schema, "text", { root: schema, depth: 0, size: { remaining: maxSize } })
}

/** The JSON of {@link sample}. Throws a {@link SampleError} if there is no value for the schema. */
export const sampleJson = (schema: unknown): string => {
  try {
    return JSON.stringify(sample(schema))
  } catch (cause) {
    throw cause instanceof SampleError ? cause : new SampleError("no value can be made for this schema", { cause })
  }
}

/** The schema requires a value that this server cannot generate. */
export class SampleError extends Error {
  override readonly name = "SampleError"
}

interface SampleContext {
  readonly root: unknown
  readonly depth: number
  /** How many more characters the value may have, roughly. */
  readonly size: { remaining: number }
}

/** Counts the size of a part of the value before the part is made. */
const grow = ({ size }: SampleContext, characters: number): void => {
  size.remaining -= characters
  if (!(size.remaining > 0)) throw new SampleError("the smallest value that this schema accepts is too large")
}

const build = (schema: unknown, name: string, context: SampleContext): unknown => {
  const perValue = 50
  grow(context, perValue)
  if (!isRecord(schema) || context.depth > 32) return null
  const nested = { ...context, depth: context.depth + 1 }
  if (typeof schema.$ref === "string") return build(resolve(schema.$ref, context.root), name, nested)
  if ("const" in schema) return schema.const
  if (Array.isArray(schema.enum)) return schema.enum[0]
  const union = schema.anyOf ?? schema.oneOf
  // At a large depth a recursive union must end: generators of schemas put the member that does not recur last.
  if (Array.isArray(union)) return build(union.at(context.depth < 8 ? 0 : -1), name, nested)
  if (Array.isArray(schema.allOf)) return build(merge(schema, context), name, nested)
  switch (typeOf(schema)) {
    case "object":
      return object(schema, nested)
    case "array":
      return array(schema, name, nested)
    case "string":
      return string(schema, name, context)
    case "number":
    case "integer":
      return number(schema)
    case "boolean":
      return true
    default:
      return null
  }
}

const typeOf = (schema: Json): unknown => {
  if (Array.isArray(schema.type)) return schema.type[0]
  return schema.type ?? (isRecord(schema.properties) ? "object" : isRecord(schema.items) ? "array" : undefined)
}

const resolve = (ref: string, root: unknown): unknown => {
  let found = root
  for (const key of ref.replace(/^#\/?/, "").split("/").filter((key) => key !== "")) {
    const name = decode(key).replaceAll("~1", "/").replaceAll("~0", "~")
    found = isRecord(found) && Object.hasOwn(found, name) ? found[name] : undefined
  }
  return found
}

const decode = (key: string): string => {
  try {
    return decodeURIComponent(key)
  } catch {
    return key
  }
}

const merge = ({ allOf, ...own }: Json, context: SampleContext): Json => {
  let merged = own
  for (const part of Array.isArray(allOf) ? allOf.filter(isRecord) : []) {
    // Each part copies the members that were merged before it.
    grow(
      context,
      Object.keys(merged).length + (isRecord(merged.properties) ? Object.keys(merged.properties).length : 0)
    )
    grow(context, Array.isArray(merged.required) ? merged.required.length : 0)
    merged = {
      ...merged,
      ...part,
      ...(isRecord(merged.properties) && isRecord(part.properties)
        ? { properties: { ...merged.properties, ...part.properties } }
        : {}),
      ...(Array.isArray(merged.required) && Array.isArray(part.required)
        ? { required: [...merged.required, ...part.required] }
        : {})
    }
  }
  return merged
}

const object = (schema: Json, context: SampleContext): unknown => {
  const properties = isRecord(schema.properties) ? schema.properties : {}
  const required = Array.isArray(schema.required) ? schema.required.filter((key) => typeof key === "string") : []
  return Object.fromEntries(required.map((key) => [
    key,
    build(Object.hasOwn(properties, key) ? properties[key] : undefined, key, context)
  ]))
}

const array = (schema: Json, name: string, context: SampleContext): unknown => {
  const first: ReadonlyArray<unknown> = Array.isArray(schema.prefixItems) ? schema.prefixItems : []
  const length = Math.max(numberOr(schema.minItems, 0), first.length)
  grow(context, length)
  return Array.from({ length }, (_, index) => build(first[index] ?? schema.items, name, context))
}

const formats = new Map(Object.entries({
  "date-time": "2000-01-01T00:00:00Z",
  date: "2000-01-01",
  time: "00:00:00Z",
  duration: "PT1S",
  email: "ada@example.com",
  hostname: "example.com",
  ipv4: "127.0.0.1",
  ipv6: "::1",
  uri: "https://example.com",
  uuid: "00000000-0000-4000-8000-000000000000"
}))

const string = (schema: Json, name: string, context: SampleContext): string => {
  const text = typeof schema.format === "string" ? formats.get(schema.format) : undefined
  if (text !== undefined) return text
  const length = numberOr(schema.minLength, 0)
  grow(context, Math.max(0, length) + name.length)
  return name.padEnd(length, "x").slice(0, numberOr(schema.maxLength, Infinity))
}

const number = (schema: Json): number => {
  const step = numberOr(schema.multipleOf, typeOf(schema) === "integer" ? 1 : 0)
  const above = numberOr(schema.exclusiveMinimum, -Infinity)
  const below = numberOr(schema.exclusiveMaximum, Infinity)
  const low = Math.max(numberOr(schema.minimum, -Infinity), above)
  const high = Math.min(numberOr(schema.maximum, Infinity), below)
  if (fits(0, low, high, above, below)) return 0
  if (step === 0) {
    if (!Number.isFinite(low)) return high - 1
    if (low > above) return low
    return Number.isFinite(high) ? (low + high) / 2 : low + 1
  }
  if (!Number.isFinite(low)) {
    const highest = Math.floor(high / step) * step
    return highest === below ? highest - step : highest
  }
  const lowest = Math.ceil(low / step) * step
  return lowest === above ? lowest + step : lowest
}

const fits = (value: number, low: number, high: number, above: number, below: number): boolean =>
  value >= low && value <= high && value !== above && value !== below

const numberOr = (value: unknown, otherwise: number): number => typeof value === "number" ? value : otherwise
