/**
 * The recorded responses of real servers, if they are available next to the project.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../../shared/corpus/", import.meta.url))

/** The expected result of a recording. */
export interface Expected {
  readonly text: string | null
  readonly reasoning: string | null
  readonly refusal?: string | null
  readonly finishReason: string | null
  readonly usage: Readonly<Record<string, unknown>> | null
  readonly xGroqUsage?: Readonly<Record<string, unknown>> | null
  readonly toolCalls: ReadonlyArray<{ readonly id: string | null; readonly name: string; readonly arguments: string }>
  readonly functionCall?: { readonly name: string; readonly arguments: string }
  readonly partialText?: string
  readonly errorMessage: string | null
  readonly errorCode?: string | number | null
  readonly errorType?: string | null
  readonly id?: string
  readonly model?: string
}

/** One recording. */
export interface Case {
  readonly id: string
  readonly provider: string
  readonly kind: "success" | "error"
  readonly status: number
  readonly contentType: string
  readonly stream: boolean
  readonly headers: Readonly<Record<string, string>>
  readonly expected: Expected
  readonly body: Uint8Array
}

/** Whether the recordings are available. */
export const isPresent: boolean = existsSync(root)

/** All recordings, in the order of their names. Empty if they are not available. */
export const cases: ReadonlyArray<Case> = isPresent
  ? readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => {
    const folder = `${root}${entry.name}/`
    const recorded = JSON.parse(readFileSync(`${folder}case.json`, "utf8"))
    return { ...recorded, body: new Uint8Array(readFileSync(`${folder}${recorded.bodyFile}`)) }
  })
  : []
