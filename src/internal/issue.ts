/**
 * Errors of decoding in one line: the path of the first issue, and its message.
 */
import * as ParseResult from "effect/ParseResult"

/** The path of an invalid value, and the message of its rule. */
export interface Issue {
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

/** The first rule that is broken. */
export const issueOf = ({ issue }: ParseResult.ParseError): Issue =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)[0] ?? { path: [], message: "Invalid" }

/** A `ParseError` that prints as one line, such as `topP: Expected a number between 0 and 1, or null, actual 2`. */
class OneLineParseError extends ParseResult.ParseError {
  override toString(): string {
    const { message, path } = issueOf(this)
    return path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`
  }
}

/** The same error, which prints as one line. */
export const inOneLine = ({ issue }: ParseResult.ParseError): ParseResult.ParseError => new OneLineParseError({ issue })
