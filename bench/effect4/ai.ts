/**
 * `effect/unstable/ai` of version 4, by `@effect/ai`.
 */
import { Tool as Tool3 } from "@effect/ai"
import type { Schema } from "effect"

export { LanguageModel, Prompt, Toolkit } from "@effect/ai"

interface Options {
  readonly description?: string
  readonly parameters?: { readonly fields: Schema.Struct.Fields }
  readonly success?: Schema.Schema.Any
}

const toVersion3 = ({ parameters, ...options }: Options) => ({ ...options, parameters: parameters?.fields ?? {} })

interface ProviderDefined extends Options {
  readonly id: `${string}.${string}`
  readonly customName: string
  readonly providerName: string
  readonly requiresHandler: boolean
}

export const Tool = {
  ...Tool3,
  make: (name: string, options: Options) => Tool3.make(name, toVersion3(options)),
  providerDefined: ({ customName, id, providerName, requiresHandler, ...options }: ProviderDefined) =>
    Tool3.providerDefined({
      ...toVersion3(options),
      id,
      toolkitName: customName,
      providerName,
      requiresHandler,
      args: {}
    })
}
