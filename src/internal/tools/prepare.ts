/**
 * Decodes the arguments of a call, and makes the Effect that runs the handler and encodes its result.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { issueOf } from "../issue.ts"
import { isRecord, type JsonRecord } from "../json.ts"
import * as Tool from "./model.ts"
import { resultOf, textOf } from "./result.ts"

interface Options<A, RD, S, SI, RS, F, FI, RF, R, RA> {
  readonly decode: (args: unknown) => Effect.Effect<A, Tool.ArgumentsError, RD>
  readonly needsApproval?: Tool.Settings<A, RA>["needsApproval"]
  readonly success?: Schema.Schema<S, SI, RS> | undefined
  readonly failure?: Schema.Schema<F, FI, RF> | undefined
  readonly handler: (input: A, context: Tool.Context) => Effect.Effect<S | Tool.Content, F, R>
}

/** Makes the `prepare` function of a tool. */
export const make = <A, RD, S, SI, RS, F, FI, RF, R, RA>(
  { decode, failure, handler, needsApproval = false, success }: Options<A, RD, S, SI, RS, F, FI, RF, R, RA>
) =>
(args: unknown): Effect.Effect<Tool.Prepared<R | RS | RF | RA>, Tool.ArgumentsError, RD> =>
  Effect.map(decode(args), (input) => ({
    needsApproval: typeof needsApproval === "boolean"
      ? Effect.succeed(needsApproval)
      : approvalOf(needsApproval, input),
    run: (context) =>
      Effect.suspend(() => handler(input, context)).pipe(
        Effect.catchAll((error) =>
          Effect.flatMap(failureText(failure, error), (text) =>
            Effect.fail(new Tool.HandlerFailure({ text, cause: error })))
        ),
        Effect.flatMap((value) =>
          encode(success, value)
        )
      )
  }))

const approvalOf = <A, R>(
  decide: (input: A) => boolean | Effect.Effect<boolean, unknown, R>,
  input: A
): Effect.Effect<boolean, never, R> =>
  Effect.suspend(() => {
    const decided = decide(input)
    return typeof decided === "boolean" ? Effect.succeed(decided) : decided
  }).pipe(Effect.catchAllCause(() => Effect.succeed(true)))

/** Encodes a result. A value that its Schema cannot encode is a defect, because it is a bug of the program. */
const encode = <S, SI, RS>(
  schema: Schema.Schema<S, SI, RS> | undefined,
  value: S | Tool.Content
): Effect.Effect<Tool.Result, never, RS> => {
  if (value instanceof Tool.Content || schema === undefined) return Effect.succeed(resultOf(value))
  return Schema.encode(schema)(value).pipe(Effect.map(resultOf), Effect.catchAll(Effect.die))
}

const failureText = <F, FI, RF>(
  schema: Schema.Schema<F, FI, RF> | undefined,
  error: F
): Effect.Effect<string, never, RF> => {
  const withoutDetails = "The tool failed."
  if (schema === undefined) return Effect.succeed(withoutDetails)
  return Schema.encode(schema)(error).pipe(
    Effect.map((encoded) => `The tool failed with ${tagOf(error)}${textOf(encoded)}`),
    Effect.catchAll(() => Effect.succeed(withoutDetails))
  )
}

const tagOf = (error: unknown): string =>
  isRecord(error) && typeof error["_tag"] === "string" ? `${error["_tag"]}: ` : ""

/** Decodes arguments with a Schema. */
export const decoder = <A, I, R>(schema: Schema.Schema<A, I, R>) => {
  const decode = Schema.decodeUnknown(schema)
  return (args: unknown): Effect.Effect<A, Tool.ArgumentsError, R> =>
    Effect.mapError(decode(args), (error) => {
      const { message, path } = issueOf(error)
      const place = path.length === 0 ? "" : ` at ${path.map(String).join(".")}`
      return new Tool.ArgumentsError({ message: `${message}${place}` })
    })
}

/** Accepts any object. */
export const decodeRecord = (args: unknown): Effect.Effect<JsonRecord, Tool.ArgumentsError> =>
  isRecord(args) ? Effect.succeed(args) : Effect.fail(new Tool.ArgumentsError({ message: "Expected an object" }))
