/**
 * Tables of the documentation that tests generate.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const begin = "<!-- generated -->"
const end = "<!-- /generated -->"

/** Asserts that the page has this table between its marks. With `UPDATE_DOCS=1`, writes the table there. */
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
