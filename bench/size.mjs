// What this library adds to a program's bundle that has `effect` and `@effect/*`.
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const effect = ["effect", "effect/*", "@effect/*"]

/** @param {string} code @param {ReadonlyArray<string>} external */
const bundle = async (code, external) => {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: fileURLToPath(new URL("../dist", import.meta.url)) },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    external: [...external]
  })
  return outputFiles[0]?.text ?? ""
}

/** @param {string} text */
const sizeOf = (text) => ({ minified: Buffer.byteLength(text), gzipped: gzipSync(text, { level: 9 }).length })

/**
 * What a bundle of some code that imports `./index.js` has of this library: its own code without import statements, which
 * a program's bundle does not have either; and all that was bundled, with them and the parser of events.
 *
 * @param {string} code
 */
export const bundleSize = async (code) => {
  const own = await bundle(code, [...effect, "eventsource-parser"])
  return {
    own: sizeOf(own.replaceAll(/\bimport(?:[^;"]* ?from)?"[^"]+";/g, "")),
    all: sizeOf(await bundle(code, effect))
  }
}
