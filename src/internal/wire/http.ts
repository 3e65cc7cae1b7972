/**
 * The wire service over an HttpClient, whose answers can also be pulled by a caller with a wait of its own.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ChatRequest, Service } from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { toStream } from "../pull.ts"
import * as Answer from "./answer.ts"
import type { CallWait } from "./watch.ts"

/** One client's wire. */
export class HttpWire implements Service {
  private readonly client: HttpClient.HttpClient

  constructor(client: HttpClient.HttpClient) {
    this.client = client
  }

  readonly complete = (request: ChatRequest): Effect.Effect<ChatResponse, ChatError> =>
    Effect.scoped(Effect.flatMap(Answer.open(this.client, request, false), lastEvent)).pipe(
      Effect.withSpan("ChatCompletions.complete", { captureStackTrace: false })
    )

  readonly stream = (request: ChatRequest): Stream.Stream<ChatEvent, ChatError> => toStream(this.open(request))

  /**
   * What the stream pulls. A caller who gives its wait can end a pull that waits: it fails with none, and need not run in
   * a fiber of its own to be left.
   */
  readonly open = (request: ChatRequest, wait?: CallWait): Effect.Effect<Answer.Pull, never, Scope.Scope> =>
    Effect.withSpanScoped(Answer.open(this.client, request, true, wait), "ChatCompletions.stream", {
      captureStackTrace: false
    })
}

/** Pulls until the end of the answer, and gives the whole of it. */
const lastEvent = (pull: Answer.Pull): Effect.Effect<ChatResponse, ChatError> =>
  Effect.flatMap(
    Effect.mapError(pull, Option.getOrThrowWith(() => new Error("an answer ends with Finish"))),
    (events) => {
      const last = Chunk.unsafeLast(events)
      return isFinish(last) ? Effect.succeed(last.response) : lastEvent(pull)
    }
  )
