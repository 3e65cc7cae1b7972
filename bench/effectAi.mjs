// Runs tests of Effect's own repository on this library's model: `npm run bench:effectAi -- FOLDER [name…]`, where FOLDER is
// in a clone of Effect-TS/effect. Nothing of it is copied: the files are read where they are.
//
// - `packages/ai/ai/test` on branch v3: the tests of @effect/ai. `effectAiModel.ts` stands in for their `utilities.js`.
// - `packages/ai/openai-compat/test OpenAiLanguageModel` and `packages/ai/openrouter/test OpenRouterLanguageModel` on branch
//   main: the tests of two providers for Effect 4. The modules of `effect4` stand in for what they import.
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

/** @type {Readonly<Record<string, string>>} */
const standIns = {
  "./utilities.js": "effectAiModel.ts",
  "@effect/ai-openai-compat": "effect4/providers.ts",
  "@effect/ai-openrouter": "effect4/providers.ts",
  "effect/unstable/ai": "effect4/ai.ts",
  "effect/unstable/http": "effect4/http.ts"
}

const isOfVersion4 = !/[/\\]ai[/\\]ai[/\\]test/.test(folder)

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
    const standIn = isOfVersion4 && source === "effect" ? "effect4/effect.ts" : standIns[source]
    if (standIn !== undefined) return join(root, "bench", standIn)
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
