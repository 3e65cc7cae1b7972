/**
 * Helpers for tests: an `HttpClient` that answers from a script, with faults; a small OpenAI-compatible server on
 * loopback; and the tests that every history store must pass.
 *
 * @since 0.1.0
 */

/**
 * The tests that every history store must pass.
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
