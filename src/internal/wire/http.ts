/**
 * The wire service over an HttpClient, whose streams a caller can also pull with a wait of its own.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ChatRequest, Service } from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { type Pull, toStream } from "../pull.ts"
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
   * The stream for one reader, who ends its wait instead of interrupting the pull: no pull costs a fiber then. An answer
   * that failed lets go of its connection at once, and another one with the scope.
   */
  pull(request: ChatRequest, wait: CallWait, scope: Scope.Scope): Pull<ChatEvent, ChatError> {
    let begun: Pull<ChatEvent, ChatError> | undefined
    const first = Effect.flatMap(
      Scope.fork(scope, ExecutionStrategy.sequential),
      (own) =>
        Effect.flatMap(Scope.extend(this.open(request, wait), own), (pull) => {
          begun = Effect.tapErrorCause(pull, (cause) => Effect.uninterruptible(Scope.close(own, Exit.failCause(cause))))
          return begun
        })
    )
    return Effect.suspend(() => begun ?? first)
  }

  private open(request: ChatRequest, wait?: CallWait): Effect.Effect<Answer.Pull, never, Scope.Scope> {
    return Effect.withSpanScoped(Answer.open(this.client, request, true, wait), "ChatCompletions.stream", {
      captureStackTrace: false
    })
  }
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
