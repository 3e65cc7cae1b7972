/**
 * A tracer that records the spans of an effect.
 */
import { Effect, Tracer } from "effect"

/** Runs the effect, and returns its spans in the order of their starts. */
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

/** The name of a span after those of its parents: `LLMChat.ask > ChatCompletions.complete`. */
export const path = (span: Tracer.AnySpan): string => {
  if (span._tag === "ExternalSpan") return span.spanId
  return span.parent._tag === "None" ? span.name : `${path(span.parent.value)} > ${span.name}`
}
