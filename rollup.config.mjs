// Writes the code of `dist`; its types come from `tsc`.
//
// An import costs Node about a quarter of a millisecond a file. So what `effect-chat` loads is one file,
// `internal/core.js`, behind a small one for each public module. `testing`, and what needs an optional peer, stay out.
import { readdirSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const src = fileURLToPath(new URL("src", import.meta.url))

const publicModules = readdirSync(src, { encoding: "utf8", recursive: true })
  .filter((file) => file.endsWith(".ts") && !/\binternal\b/.test(file))

/** @param {string} file */
const isIndex = (file) => /\bindex\.ts$/.test(file)

/**
 * Marks the calls that run on import as pure, which package.json says of whole modules: bundlers then drop what a
 * program does not use.
 *
 * @type {ts.TransformerFactory<ts.SourceFile>}
 */
const markPure = (context) => {
  /** @type {ts.Visitor} */
  const visit = (node) => {
    if (ts.isFunctionLike(node) || ts.isPropertyDeclaration(node) || ts.isExpressionStatement(node)) return node
    const visited = ts.visitEachChild(node, visit, context)
    if (!ts.isCallExpression(visited) && !ts.isNewExpression(visited)) return visited
    // The mark of `a().b()` is that of the whole chain.
    const { parent } = node
    const goesOn = (ts.isPropertyAccessExpression(parent) || ts.isCallExpression(parent)) && parent.expression === node
    return goesOn
      ? visited
      : ts.addSyntheticLeadingComment(visited, ts.SyntaxKind.MultiLineCommentTrivia, " @__PURE__ ")
  }
  return (file) => ts.visitEachChild(file, visit, context)
}

/** @type {import("rollup").Plugin} */
const typescript = {
  name: "typescript",
  // An index names the files of its modules: both ways to a module give the same one, and bundlers see through it.
  resolveId: (source, importer) =>
    importer !== undefined && isIndex(importer)
      ? { id: resolve(dirname(importer), source.replace(/ts$/, "js")), external: true }
      : null,
  transform: (code, fileName) => {
    const { outputText, sourceMapText = "" } = ts.transpileModule(code, {
      fileName,
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ES2022,
        verbatimModuleSyntax: true,
        sourceMap: true
      },
      transformers: { before: [markPure] }
    })
    return { code: outputText, map: sourceMapText }
  }
}

/** What the index reaches. @type {import("rollup").GetManualChunk} */
const chunkOf = (id, { getModuleInfo }) => {
  const core = new Set([resolve(src, "index.ts")])
  for (const file of core) {
    for (const next of getModuleInfo(file)?.importedIds ?? []) {
      core.add(isIndex(file) ? next.replace(/js$/, "ts") : next)
    }
  }
  return core.has(id) && !isIndex(id) ? "core" : undefined
}

/** @type {import("rollup").RollupOptions} */
export default {
  input: Object.fromEntries(publicModules.map((file) => [file.slice(0, -".ts".length), resolve(src, file)])),
  external: /^[@a-z]/,
  plugins: [typescript],
  preserveEntrySignatures: "strict",
  // The file of a module of types alone is empty.
  onLog: (level, log, handle) => log.code === "EMPTY_BUNDLE" ? undefined : handle(level, log),
  treeshake: { moduleSideEffects: false },
  output: {
    dir: "dist",
    chunkFileNames: "internal/[name].js",
    manualChunks: chunkOf,
    hoistTransitiveImports: false,
    minifyInternalExports: false,
    sourcemap: true,
    sourcemapExcludeSources: true
  }
}
