// Runs tests of @effect/ai's own repository on this library's model: `npm run bench:effectAi -- FOLDER [name…]`, where
// FOLDER is `packages/ai/ai/test` of a clone of Effect-TS/effect, branch v3. Nothing of it is copied: the files are read
// where they are, and `effectAiModel.ts` stands in for their `utilities.js`.
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { startVitest } from "vitest/node"

const root = fileURLToPath(new URL("..", import.meta.url))
const [given, ...names] = process.argv.slice(2)
if (given === undefined) {
  process.stderr.write("Usage: npm run bench:effectAi -- FOLDER [name…]\n")
  process.exit(2)
}
const folder = resolve(given)

const outside = {
  name: "outside",
  enforce: /** @type {const} */ ("pre"),
  /**
   * @this {import("rollup").PluginContext}
   * @param {string} source
   * @param {string | undefined} importer
   */
  async resolveId(source, importer) {
    if (importer?.startsWith(folder) !== true) return null
    if (source === "./utilities.js") return join(root, "bench/effectAiModel.ts")
    return /^[@a-z]/.test(source) ? this.resolve(source, join(root, "bench/effectAi.mjs"), { skipSelf: true }) : null
  }
}

const vitest = await startVitest(
  "test",
  names,
  { root, dir: folder, config: false, watch: false, include: [`${folder}/**/*.test.ts`] },
  {
    plugins: [outside],
    resolve: {
      alias: [
        { find: /^effect-chat$/, replacement: join(root, "src/index.ts") },
        { find: /^effect-chat\/(ai|testing)$/, replacement: join(root, "src/$1/index.ts") }
      ]
    },
    server: { fs: { strict: false } },
    test: { setupFiles: [join(root, "vitest.setup.ts")] }
  }
)
await vitest.close()
