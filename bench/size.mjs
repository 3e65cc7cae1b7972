// What this library adds to a program's bundle, in which the program's packages, `effect` among them, are bundled as well.
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"

const root = fileURLToPath(new URL("..", import.meta.url))

/** @param {string} code @param {boolean} minifyWhitespace */
const bundle = async (code, minifyWhitespace) => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    stdin: { contents: code, resolveDir: fileURLToPath(new URL("../dist", import.meta.url)) },
    bundle: true,
    minifyIdentifiers: true,
    minifySyntax: true,
    minifyWhitespace,
    write: false,
    metafile: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"]
  })
  const inputs = Object.entries(Object.values(metafile.outputs)[0]?.inputs ?? {})
  return {
    // A character a byte, for esbuild counts these.
    text: Buffer.from(outputFiles[0]?.contents ?? []).toString("latin1"),
    files: new Map(inputs.flatMap(([file, { bytesInOutput: bytes }]) => bytes > 0 ? [[file, bytes]] : []))
  }
}

const isOwn = (/** @type {string} */ file) => file.startsWith("dist/")

/**
 * The pieces of a bundle, one a file, in their order: they stand between esbuild's own functions and the exports. The
 * order is told by the comments of a bundle that keeps its white space.
 *
 * @param {string} code
 */
const piecesOf = async (code) => {
  const { files, text } = await bundle(code, true)
  const readable = await bundle(code, false)
  const order = [...readable.text.matchAll(/^\/\/ (\S+)$/gm)].flatMap(([, file = ""]) => files.has(file) ? [file] : [])
  const end = text.lastIndexOf("export{")
  let at = [...files.values()].reduce((place, bytes) => place - bytes, end)
  const begin = at
  const pieces = order.map((file) => ({ file, text: text.slice(at, at += files.get(file) ?? 0) }))
  const behindCore = order.slice(order.indexOf("dist/internal/core.js"))
  const isWhole = end > 0 && at === end && pieces.every(({ text }) => /[;}]$/.test(text)) &&
    // Behind the packages stands this library, and behind it the program.
    behindCore.every((file) => isOwn(file) || file === "<stdin>") &&
    // So begin the names of all services and errors.
    pieces.every(({ file, text }) => isOwn(file) || !text.includes("effect-chat/"))
  if (!isWhole) throw new Error(`What stands where in the bundle of ${code} is not what was thought`)
  return { begin: text.slice(0, begin), pieces, end: text.slice(end) }
}

const gzipped = (/** @type {string} */ text) => gzipSync(Buffer.from(text, "latin1"), { level: 9 }).length

/**
 * What the bundle of some code that imports `./index.js`, or another file of `dist`, has of this library, and what with
 * the parser of events that it brings. Gzipped it adds what the bundle takes more than without it.
 *
 * @param {string} code
 */
export const bundleSize = async (code) => {
  const { begin, end, pieces } = await piecesOf(code)
  /** @param {(file: string) => boolean} isAdded */
  const sizeOf = (isAdded) => {
    const textOf = (/** @type {boolean} */ added) =>
      pieces.flatMap(({ file, text }) => isAdded(file) === added ? [text] : []).join("")
    const others = begin + textOf(false)
    const added = textOf(true)
    return { minified: added.length, gzipped: gzipped(others + added + end) - gzipped(others) }
  }
  return {
    own: sizeOf(isOwn),
    all: sizeOf((file) => isOwn(file) || file.startsWith("node_modules/eventsource-parser/"))
  }
}
