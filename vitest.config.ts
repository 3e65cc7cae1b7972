import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const src = fileURLToPath(new URL("./src/", import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^effect-chat$/, replacement: `${src}index.ts` },
      { find: /^effect-chat\/sql$/, replacement: `${src}sql/index.ts` },
      { find: /^effect-chat\/testing$/, replacement: `${src}testing/index.ts` },
      { find: /^effect-chat\/(.+)$/, replacement: `${src}$1.ts` }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["./vitest.setup.ts"],
    pool: "forks",
    // Of two cores vitest would use one.
    poolOptions: { forks: { maxForks: Math.max(2, availableParallelism() - 1) } },
    coverage: {
      enabled: process.env["CI"] !== undefined,
      provider: "v8",
      include: ["src/**"],
      reporter: ["text"],
      // In percent, and a little less than there is: without PostgreSQL some of `src` is not reached.
      thresholds: { statements: 98, branches: 95, functions: 97, lines: 98 }
    }
  }
})
