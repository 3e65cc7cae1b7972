/**
 * `effect/unstable/http` of version 4, by `@effect/platform`.
 */
export { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "@effect/platform"
