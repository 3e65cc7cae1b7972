/**
 * What the tests of programs that chat need: an `HttpClient` that plays a script, faults included, and a small
 * OpenAI-compatible server on loopback.
 *
 * @since 0.1.0
 */

/**
 * A small OpenAI-compatible server on loopback.
 *
 * @since 0.1.0
 */
export * as LocalServer from "./LocalServer.ts"

/**
 * An `HttpClient` that answers from a script instead of a network.
 *
 * @since 0.1.0
 */
export * as ScriptedHttpClient from "./ScriptedHttpClient.ts"
