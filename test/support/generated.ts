/**
 * Tables of the documentation that a test run makes.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const begin = "<!-- generated -->"
const end = "<!-- /generated -->"

/** Checks that the page holds this table between its marks; with `UPDATE_DOCS=1` it is put there. */
export const generated = (page: string, table: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const file = fileURLToPath(new URL(`../../docs/${page}`, import.meta.url))
    const text = readFileSync(file, "utf8")
    const at = [text.indexOf(begin), text.indexOf(end)] as const
    assert.isTrue(at[0] !== -1 && at[1] > at[0], `docs/${page} has no marks`)
    const next = `${text.slice(0, at[0] + begin.length)}\n\n${table}\n\n${text.slice(at[1])}`
    if (process.env["UPDATE_DOCS"] === "1") writeFileSync(file, next)
    else assert.strictEqual(text, next, `docs/${page} is stale: run npm run docs:tables`)
  })
