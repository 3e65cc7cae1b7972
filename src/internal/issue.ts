/**
 * What a Schema found wrong, as errors tell it: the first of it, in one line.
 */
import * as ParseResult from "effect/ParseResult"

/** Where a rule is broken, and how. */
export interface Issue {
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

/** The first rule that is broken. */
export const issueOf = (error: ParseResult.ParseError): Issue =>
  ParseResult.ArrayFormatter.formatErrorSync(error)[0] ?? { path: [], message: error.message }
