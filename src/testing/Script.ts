/**
 * The scripts of a `ScriptedHttpClient`, which exports all of this module.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"

/**
 * The state of the client, for a test to check.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  /** All requests so far in the order of arrival, including those that failed or were interrupted. */
  readonly requests: Effect.Effect<ReadonlyArray<CapturedRequest>>
  /** The number of responses that no request has used yet. `Infinity` if the script is a function. */
  readonly remaining: Effect.Effect<number>
  /** The number of requests that wait for headers, without interrupted ones. */
  readonly pendingRequests: Effect.Effect<number>
  /** The number of bodies that are being read. 0 at the end of a test if nothing leaks. */
  readonly openBodies: Effect.Effect<number>
  /** The number of responses whose body was never read. In a real client, each one keeps its connection open. */
  readonly unreadBodies: Effect.Effect<number>
}

/**
 * A request as it would have been sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface CapturedRequest {
  /** 0 for the first request. */
  readonly index: number
  /** When it was sent, in milliseconds of the Clock. */
  readonly at: number
  readonly method: string
  /** The complete URL with its query. */
  readonly url: string
  /** Names in lower case. The `authorization` header is here in plain text: use made-up keys. */
  readonly headers: Readonly<Record<string, string>>
  /** The body parsed as JSON. `undefined` if it is empty or not JSON. */
  readonly body: unknown
  /** The body as text. Empty if there is none. */
  readonly text: string
}

/**
 * One step of a body: bytes that arrive together in one read (a string is sent as UTF-8), a delay, or a fault. Steps after a
 * fault are ignored.
 *
 * @since 0.1.0
 * @category models
 */
export type BodyStep = Uint8Array | string | Fault | Delay

/**
 * Nothing arrives for `duration` (on the Clock of the fiber that reads the body).
 *
 * @since 0.1.0
 * @category models
 */
export interface Delay {
  readonly _tag: "Delay"
  readonly duration: Duration.Duration
}

/**
 * How a body fails: with `cause` (`Reset`), or by staying open without further bytes (`Never`).
 *
 * @since 0.1.0
 * @category models
 */
export type Fault = { readonly _tag: "Reset"; readonly cause: unknown } | { readonly _tag: "Never" }

/**
 * The response to one request: a `Reply` with status, headers and a body in steps; a failed connection; or another response
 * after a delay.
 *
 * @since 0.1.0
 * @category models
 */
export type ScriptedResponse =
  | {
    readonly _tag: "Reply"
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: ReadonlyArray<BodyStep>
  }
  | { readonly _tag: "ConnectionError"; readonly cause: unknown }
  | { readonly _tag: "Delayed"; readonly duration: Duration.Duration; readonly response: ScriptedResponse }

/**
 * The responses in the order of the requests, or a function of the request and its index (0 for the first).
 *
 * @since 0.1.0
 * @category models
 */
export type Script =
  | ReadonlyArray<ScriptedResponse>
  | ((request: CapturedRequest, index: number) => ScriptedResponse | Effect.Effect<ScriptedResponse>)

/**
 * Options of a script.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Whether requests after the end of a list get its last response. Default `false`: they fail. */
  readonly repeatLast?: boolean | undefined
}
