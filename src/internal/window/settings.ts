/**
 * Checks the settings of windows.
 */
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

export const Turns: Schema.Schema<number> = Schema.Int.pipe(Schema.greaterThanOrEqualTo(1))

export const Tokens: Schema.Schema<number> = Schema.Finite.pipe(Schema.positive())

/** Makes a check that throws for invalid settings, because they are bugs of the program. Schema classes throw too. */
const check = <A, I>(schema: Schema.Schema<A, I>): (settings: A) => A => {
  const validate = Schema.validateEither(schema)
  return (settings) => Either.getOrThrowWith(validate(settings), (error: ParseResult.ParseError) => error)
}

export const checkTurns = check(Schema.Struct({ turns: Turns }))

export const checkTokens = check(Schema.Struct({ budget: Tokens }))

const Limits = Schema.Struct({ turns: Schema.optional(Turns), tokens: Schema.optional(Tokens) }).pipe(
  Schema.filter((when) => when.turns !== undefined || when.tokens !== undefined || "when needs turns or tokens")
)

export const checkSummarize = check(
  Schema.Struct({
    when: Limits,
    keep: Turns,
    instruction: Schema.optional(Schema.NonEmptyTrimmedString),
    model: Schema.optional(Schema.NonEmptyTrimmedString)
  }).pipe(Schema.filter(({ keep, when }) =>
    when.turns === undefined || keep < when.turns ||
    { path: ["keep"], message: `Expected fewer than when.turns, which is ${when.turns}, actual ${keep}` }
  ))
)
