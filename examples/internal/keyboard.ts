/**
 * A terminal as an Effect service: a line editor with history, and Ctrl-C as an event instead of the end.
 *
 * `Terminal` of `@effect/platform` reads lines without an editor, so this is `node:readline`. The editor stays open
 * between lines: the terminal stays in raw mode, where Ctrl-C is a key and no signal. What is typed meanwhile is not
 * echoed into the answer that is printed; it waits for the next line.
 */
import { Effect, Option, type Scope } from "effect"
import { createInterface } from "node:readline"
import { Writable } from "node:stream"

/** The input of a user. */
export interface Keyboard {
  /** The next line; none when the person leaves with Ctrl-D, or with Ctrl-C at an empty line. */
  readonly line: Effect.Effect<Option.Option<string>>
  /** Waits for Ctrl-C while no line is read. */
  readonly interrupted: Effect.Effect<void>
}

/** The editor's view of the screen, which can be covered. */
class Screen extends Writable {
  covered = true

  get columns(): number {
    return process.stdout.columns
  }

  override _write(chunk: Uint8Array, _: BufferEncoding, done: () => void): void {
    if (!this.covered) process.stdout.write(chunk)
    done()
  }
}

/** A keyboard that is given back with the scope. */
export const make = (prompt: string): Effect.Effect<Keyboard, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(() => open(prompt)), ({ close }) => Effect.sync(close))

const open = (prompt: string): Keyboard & { readonly close: () => void } => {
  const screen = new Screen()
  const options = { prompt, terminal: true, historySize: 1000, removeHistoryDuplicates: true }
  const editor = createInterface({ input: process.stdin, output: screen, ...options })
  const resize = () => screen.emit("resize")
  process.stdout.on("resize", resize)

  let isOpen = true
  let typedAhead: Array<string> = []
  let onLine: ((line: Option.Option<string>) => void) | undefined
  let onInterrupt: (() => void) | undefined

  /** Removes and returns the text in the editor. */
  const takeBack = (): string => {
    const { line } = editor
    editor.write(null, { ctrl: true, name: "e" })
    editor.write(null, { ctrl: true, name: "u" })
    return line
  }

  editor.on("line", (line) => {
    if (onLine === undefined) typedAhead.push(line)
    else onLine(Option.some(line))
  })
  editor.on("SIGINT", () => {
    const line = takeBack()
    if (onLine === undefined) {
      typedAhead = []
      onInterrupt?.()
    } else if (line === "") {
      onLine(Option.none())
    }
  })
  editor.on("close", () => {
    isOpen = false
    onLine?.(Option.none())
  })

  const line = Effect.async<Option.Option<string>>((resume) => {
    const ahead = typedAhead.shift()
    if (ahead !== undefined) {
      process.stdout.write(`${prompt}${ahead}\n`)
      resume(Effect.succeed(Option.some(ahead)))
      return
    }
    const settle = () => {
      onLine = undefined
      screen.covered = true
    }
    onLine = (line) => {
      if (Option.isNone(line)) process.stdout.write("\n")
      settle()
      resume(Effect.succeed(line))
    }
    if (!isOpen) {
      onLine(Option.none())
      return
    }
    const begun = takeBack()
    screen.covered = false
    editor.prompt()
    editor.write(begun)
    return Effect.sync(settle)
  })

  const interrupted = Effect.async<void>((resume) => {
    onInterrupt = () => resume(Effect.void)
    return Effect.sync(() => {
      onInterrupt = undefined
    })
  })

  const close = () => {
    process.stdout.off("resize", resize)
    editor.close()
  }

  return { line, interrupted, close }
}
