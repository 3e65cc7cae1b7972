/**
 * A tracer that remembers the spans of an effect.
 */
import { Effect, Tracer } from "effect"

/** Runs the effect, and gives its spans in the order in which they began. */
export const spansOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<ReadonlyArray<Tracer.Span>, E, R> =>
  Effect.gen(function*() {
    const native = yield* Effect.tracer
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (...args) => {
        const span = native.span(...args)
        spans.push(span)
        return span
      },
      context: (execute) => execute()
    })
    yield* Effect.withTracer(effect, tracer)
    return spans
  })

/** A span's name under those around it: `LLMChat.ask > ChatCompletions.complete`. */
export const path = (span: Tracer.AnySpan): string => {
  if (span._tag === "ExternalSpan") return span.spanId
  return span.parent._tag === "None" ? span.name : `${path(span.parent.value)} > ${span.name}`
}
