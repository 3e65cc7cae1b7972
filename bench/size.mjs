// How much of a bundle is this library's own code, the parser of events with it; `effect` and `@effect/*` are the
// program's already.
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

/** What a bundle of some code that imports `./index.js` has of this library. @param {string} code */
export const bundleSize = async (code) => {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: fileURLToPath(new URL("../dist", import.meta.url)) },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    external: ["effect", "effect/*", "@effect/*"]
  })
  const bytes = outputFiles[0]?.contents ?? new Uint8Array()
  return { minified: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length }
}
