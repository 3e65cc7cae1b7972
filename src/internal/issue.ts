/**
 * Formats decoding errors in one line, with the path and the message of each issue.
 */
import * as Arr from "effect/Array"
import * as ParseResult from "effect/ParseResult"

/** The path of an invalid value, and the error message. */
export interface Issue {
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

/** The issues of an error, at most one for each path. */
export const issuesOf = ({ issue }: ParseResult.ParseError): Arr.NonEmptyReadonlyArray<Issue> => {
  const issues = Arr.dedupeWith(
    ParseResult.ArrayFormatter.formatIssueSync(issue),
    (one, other) => toText(one.path) === toText(other.path)
  )
  return Arr.isNonEmptyArray(issues) ? issues : [invalid]
}

const invalid: Issue = { path: [], message: "Invalid" }

/** The first issue of an error. */
export const issueOf = ({ issue }: ParseResult.ParseError): Issue =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)[0] ?? invalid

/** The path and the message in one line. */
const toLine = ({ message, path }: Issue): string => path.length === 0 ? message : `${toText(path)}: ${message}`

/** A path such as `wire.maxTools` or `headers["bad name"]`. */
const toText = (path: ReadonlyArray<PropertyKey>): string =>
  path.map((key, index) => {
    const name = String(key)
    if (!/^[\w$-]+$/.test(name)) return `[${JSON.stringify(name)}]`
    return index === 0 ? name : `.${name}`
  }).join("")

/** A `ParseError` that prints as one line, such as `topP: Expected a number between 0 and 1, or null, actual 2`. */
class OneLineParseError extends ParseResult.ParseError {
  override toString(): string {
    return issuesOf(this).map(toLine).join("; ")
  }
}

/** Makes an error print as one line. */
export const inOneLine = ({ issue }: ParseResult.ParseError): ParseResult.ParseError => new OneLineParseError({ issue })
