/**
 * Formats decoding errors in one line, with the path and the message of the first issue.
 */
import * as ParseResult from "effect/ParseResult"

/** The path of an invalid value, and the error message. */
export interface Issue {
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

/** The first issue of an error. */
export const issueOf = ({ issue }: ParseResult.ParseError): Issue =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)[0] ?? { path: [], message: "Invalid" }

/** A `ParseError` that prints as one line, such as `topP: Expected a number between 0 and 1, or null, actual 2`. */
class OneLineParseError extends ParseResult.ParseError {
  override toString(): string {
    const { message, path } = issueOf(this)
    return path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`
  }
}

/** Makes an error print as one line. */
export const inOneLine = ({ issue }: ParseResult.ParseError): ParseResult.ParseError => new OneLineParseError({ issue })
