// How much of a bundle is this library's own code: everything that `import { LLMChat } from "effect-chat"` reaches, and
// the parser of events with it; `effect` and `@effect/*` are the program's already.
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

/** @param {string} [code] */
export const bundleSize = async (code = "export * from './index.js'") => {
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
