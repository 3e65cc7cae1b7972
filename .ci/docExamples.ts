/**
 * Lists the public constants and functions whose docstring has no `@example`. docgen compiles and runs the examples that
 * there are; its own rule would also want them for types, where it does not read them.
 *
 * Schemas and the presets of servers need none: an example would only repeat the type.
 */
import { readdirSync, readFileSync } from "node:fs"

const files = ["src", "src/ai", "src/mcp", "src/sql", "src/testing", "src/tokens"].flatMap((folder) =>
  readdirSync(folder).filter((file) => file.endsWith(".ts")).map((file) => `${folder}/${file}`)
)

const needless = new Set(["schemas", "presets"])

const missing = files.flatMap((file) =>
  [...readFileSync(file, "utf8").matchAll(/^\/\*\*((?:(?!\*\/)[^])*)\*\/\nexport (?:const|function) (\w+)/gm)].flatMap(
    ([, docstring = "", name]) => {
      const category = /@category (\w+)/.exec(docstring)?.[1] ?? ""
      return needless.has(category) || docstring.includes("@example") ? [] : [`${file}: ${name} (${category})`]
    }
  )
)

if (missing.length > 0) {
  process.stderr.write(`These have no @example:\n${missing.join("\n")}\n`)
  process.exitCode = 1
}
