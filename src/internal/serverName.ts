/**
 * How a server is named where several can answer.
 */
import type { LLMConfig } from "../LLMConfig.ts"
import { unnamedProvider } from "./settings.ts"

/** The config's provider, or the origin of its address where the config names none. */
export const serverName = ({ baseUrl, provider }: LLMConfig): string =>
  provider === unnamedProvider ? new URL(baseUrl).origin : provider
