/**
 * The wire service over an HttpClient, whose answers can also be pulled by a caller with a wait of its own.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ChatRequest, Service } from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import type { ChatEvent } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import * as Answer from "./completion.ts"
import type * as Exchange from "./connection.ts"
import type { CallWait } from "./deadlines.ts"
import { toStream } from "./stream.ts"

/** One client's wire. */
export class HttpWire implements Service {
  readonly #client: Exchange.Client

  constructor(client: HttpClient.HttpClient) {
    this.#client = client
  }

  readonly complete = (request: ChatRequest): Effect.Effect<ChatResponse, ChatError> =>
    Effect.useSpan("ChatCompletions.complete", { captureStackTrace: false }, (span) =>
      Effect.flatMap(
        Answer.open(this.#client, request, false, span),
        (answer) => Effect.ensuring(answer.whole, answer.close)
      ))

  readonly stream = (request: ChatRequest): Stream.Stream<ChatEvent, ChatError> =>
    toStream((scope) => Effect.map(this.open(request, scope), Effect.suspend))

  /**
   * Gives the stream's pulls, each for one use; closing the scope ends the call. A caller who gives its wait can end a pull
   * that waits: it fails with none, and need not run in a fiber of its own to be left.
   */
  readonly open = (
    request: ChatRequest,
    scope: Scope.Scope,
    wait?: CallWait
  ): Effect.Effect<() => Answer.Pull, ChatError> =>
    Effect.flatMap(
      Scope.extend(Effect.makeSpanScoped("ChatCompletions.stream", { captureStackTrace: false }), scope),
      (span) =>
        Effect.flatMap(
          Answer.open(this.#client, request, true, span, wait),
          (answer) => Effect.as(Scope.addFinalizer(scope, answer.close), answer.pull)
        )
    )
}
