// What an import costs, in a process of its own: `node import.mjs library|modules` prints milliseconds. The modules are
// those that the library's files import, in the order in which it meets them.
import { readdirSync, readFileSync } from "node:fs"
import { performance } from "node:perf_hooks"
import { fileURLToPath } from "node:url"

const dist = new URL("../dist/", import.meta.url)

/** The files that `index.js` reaches. @param {URL} file @param {Set<string>} seen @param {Set<string>} outside */
const walk = (file, seen, outside) => {
  if (seen.has(file.href)) return
  seen.add(file.href)
  for (const [, name = ""] of readFileSync(file, "utf8").matchAll(/^(?:im|ex)port [^;]*?from ["']([^"']+)["']/gm)) {
    if (name.startsWith(".")) walk(new URL(name, file), seen, outside)
    else outside.add(name)
  }
}

/** @type {Set<string>} */
const outside = new Set()
if (!readdirSync(dist).includes("index.js")) throw new Error(`Nothing is built in ${fileURLToPath(dist)}`)
walk(new URL("index.js", dist), new Set(), outside)

const begun = performance.now()
if (process.argv[2] === "library") await import("../dist/index.js")
else for (const name of outside) await import(name)
process.stdout.write(String(performance.now() - begun))
