/**
 * What the tests of programs that chat need: an `HttpClient` that plays a script, faults included, a small
 * OpenAI-compatible server on loopback, and the behaviour that every history store has.
 *
 * @since 0.1.0
 */

/**
 * What every history store does, as tests for one of your own.
 *
 * @since 0.1.0
 */
export * as HistoryStoreSuite from "./HistoryStoreSuite.ts"

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
