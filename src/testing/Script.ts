/**
 * The scripts of a `ScriptedHttpClient`, which exports all of this module.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"

/**
 * What a test sees of the client that its program used.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  /** Every request so far, in the order of arrival, those that failed or were interrupted included. */
  readonly requests: Effect.Effect<ReadonlyArray<CapturedRequest>>
  /** Responses of the script that no request has used yet; `Infinity` when the script is a function. */
  readonly remaining: Effect.Effect<number>
  /** Requests that wait for their headers. An interrupted request waits no more. */
  readonly pendingRequests: Effect.Effect<number>
  /** Bodies whose reading has begun and has neither ended nor been given up. 0 when nothing leaks. */
  readonly openBodies: Effect.Effect<number>
  /** Responses with a body that nobody has begun to read. On a real client each keeps its connection. */
  readonly unreadBodies: Effect.Effect<number>
}

/**
 * A request as it would have gone out.
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
  /** The whole address, query included. */
  readonly url: string
  /** Names in lower case. The `authorization` header is here in plain text: use made-up keys. */
  readonly headers: Readonly<Record<string, string>>
  /** The body parsed as JSON; `undefined` when it is empty or no JSON. */
  readonly body: unknown
  /** The body as text; empty when there is none. */
  readonly text: string
}

/**
 * One step of a body: bytes that arrive together in one read (a string is sent as UTF-8), a wait, or a fault. A fault
 * is the last step that is reached.
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
 * How a body breaks: it fails with `cause` (`Reset`) or nothing arrives any more (`Never`).
 *
 * @since 0.1.0
 * @category models
 */
export type Fault = { readonly _tag: "Reset"; readonly cause: unknown } | { readonly _tag: "Never" }

/**
 * What one request is answered with: a `Reply` with status, headers and a body in steps, no connection at all, or
 * another response later.
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
 * The responses in the order in which requests take them, or a function that chooses by the request and its index
 * (0 for the first).
 *
 * @since 0.1.0
 * @category models
 */
export type Script =
  | ReadonlyArray<ScriptedResponse>
  | ((request: CapturedRequest, index: number) => ScriptedResponse | Effect.Effect<ScriptedResponse>)

/**
 * How a script is played.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Whether requests beyond the end of a list get its last response again. Default `false`: they fail. */
  readonly repeatLast?: boolean | undefined
}
