/**
 * Redirects that keep the method and the body (307 and 308), within the origin that the request was for.
 *
 * HTTP clients differ: `node:http` and undici follow none, and Node's `fetch` cannot send its body again. Other redirects
 * are not followed: the key and the prompt are for one origin, and a POST would become a GET.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { urlIn } from "../settings.ts"

/** How many redirects are followed for one request. */
export const mostRedirects = 5

/** The request that a redirect asks for, undefined where the answer is none that is followed. */
export const redirected = (
  request: HttpClientRequest.HttpClientRequest,
  response: HttpClientResponse.HttpClientResponse
): HttpClientRequest.HttpClientRequest | undefined => {
  if (response.status !== 307 && response.status !== 308) return undefined
  // A client of the program may have sent the request elsewhere.
  const sentTo = urlIn(response.request.url)
  const location = response.headers["location"] ?? ""
  if (sentTo === undefined || location === "" || !URL.canParse(location, sentTo)) return undefined
  const target = new URL(location, sentTo)
  // undici would send it.
  target.hash = ""
  const isSame = target.origin === sentTo.origin && urlIn(request.url)?.origin === sentTo.origin
  return isSame && target.username === "" && target.password === ""
    ? HttpClientRequest.setUrl(request, target)
    : undefined
}
