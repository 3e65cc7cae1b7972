/**
 * Suggestions for misspelled names.
 */
import * as ParseResult from "effect/ParseResult"
import type * as AST from "effect/SchemaAST"

/** Finds the name with at most two different letters. Ignores case, `_` and `-`. */
export const nearest = (name: string, names: ReadonlyArray<string>): string | undefined => {
  const given = letters(name)
  let found: string | undefined
  let least = Math.min(3, given.length / 2)
  for (const candidate of names) {
    const other = letters(candidate)
    if (Math.abs(other.length - given.length) >= least) continue
    const difference = distance(given, other)
    if (difference < least) {
      found = candidate
      least = difference
    }
  }
  return found
}

/** The error message for an unknown setting. */
export const unknownSetting = (name: string, settings: ReadonlyArray<string>): string => {
  const suggestion = nearest(name, settings)
  return suggestion === undefined ? "There is no such setting" : `There is no such setting. Did you mean ${suggestion}?`
}

/** An issue for each member that is not a setting. It does not have the value, which may be a secret. */
export const unknownNames = (
  ast: AST.AST,
  input: object,
  settings: object,
  parent?: string
): ReadonlyArray<ParseResult.Pointer> => {
  const names = Object.keys(settings)
  return Object.keys(input).filter((name) => !names.includes(name)).map((name) => {
    const issue = new ParseResult.Type(ast, undefined, unknownSetting(name, names))
    return new ParseResult.Pointer(parent === undefined ? name : [parent, name], undefined, issue)
  })
}

const letters = (name: string): string => name.toLowerCase().replace(/[_-]/g, "")

/** The Levenshtein distance: the number of letters to insert, remove or replace. */
const distance = (left: string, right: string): number => {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 0; i < left.length; i++) {
    const row = [i + 1]
    for (let j = 0; j < right.length; j++) {
      const replaced = (previous[j] ?? 0) + (left[i] === right[j] ? 0 : 1)
      row.push(Math.min(replaced, (previous[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1))
    }
    previous = row
  }
  return previous[right.length] ?? 0
}
