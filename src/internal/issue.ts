/**
 * What a Schema found wrong, as errors tell it: the first of it, in one line.
 */
import * as ParseResult from "effect/ParseResult"

/** Where the first rule is broken, and how. */
export const issueOf = (
  error: ParseResult.ParseError
): { readonly path: ReadonlyArray<PropertyKey>; readonly message: string } =>
  ParseResult.ArrayFormatter.formatErrorSync(error)[0] ?? { path: [], message: error.message }
