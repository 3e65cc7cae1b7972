import { readdirSync, readFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src/", import.meta.url))

const slow = "test/**/*.slow.test.ts"

/** Fast tests that try more among the slow ones. */
const thorough = readdirSync("test", { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts") && readFileSync(`test/${file}`, "utf8").includes("support/runs.ts"))
  .map((file) => `test/${file.replaceAll("\\", "/")}`)

/** Under this name the run keeps what it reached of `src`, for `vitest --merge-reports`. */
const kept = process.env["COVERAGE"]

/** `vitest run` runs the fast tests, `vitest run --mode slow` the slow ones, and `vitest run --mode all` all of them. */
export default defineConfig(({ mode }) => ({
  resolve: {
    alias: [
      { find: /^effect-chat$/, replacement: `${src}index.ts` },
      { find: /^effect-chat\/(ai|mcp|sql)$/, replacement: `${src}$1/index.ts` },
      { find: /^effect-chat\/testing$/, replacement: `${src}testing/index.ts` },
      { find: /^effect-chat\/(.+)$/, replacement: `${src}$1.ts` }
    ]
  },
  test: {
    include: mode === "slow" ? [slow, ...thorough] : ["test/**/*.test.ts"],
    exclude: mode === "slow" || mode === "all" ? [] : [slow],
    env: { THOROUGH: mode === "slow" || mode === "all" ? "1" : "0" },
    setupFiles: ["./vitest.setup.ts"],
    // On a machine that is busy, or counts what is reached, a test of a second takes more than vitest's five.
    testTimeout: 30_000,
    pool: "forks",
    poolOptions: {
      forks: {
        // Of two cores vitest would use one.
        maxForks: Math.max(2, availableParallelism() - 1),
        // To load Effect again for each file takes longer than most of the files.
        isolate: false
      }
    },
    ...kept !== undefined && { reporters: ["default", ["blob", { outputFile: `.vitest-reports/${kept}.json` }]] },
    coverage: {
      enabled: kept !== undefined,
      provider: "v8",
      include: ["src/**"],
      reporter: kept === undefined ? ["text"] : [],
      // In percent, and a little less than there is: without PostgreSQL some of `src` is not reached.
      ...mode === "all" && { thresholds: { statements: 98, branches: 95, functions: 97, lines: 98 } }
    }
  }
}))
