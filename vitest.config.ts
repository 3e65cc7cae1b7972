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
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text"] }
  }
})
