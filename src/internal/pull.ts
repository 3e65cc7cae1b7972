/**
 * Streams that are pulled a chunk at a time.
 */
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The next elements, or none when there are no more. */
export type Pull<A, E> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>>

/** A stream that begins with its first pull, where it can fail and be interrupted as any later one can. */
export const toStream = <A, E>(begin: Effect.Effect<Pull<A, E>, E, Scope.Scope>): Stream.Stream<A, E> =>
  Stream.fromPull(Effect.map(Effect.scope, (scope) => {
    let begun: Pull<A, E> | undefined
    const first = begin.pipe(
      Scope.extend(scope),
      Effect.mapError(Option.some),
      Effect.flatMap((pull) => {
        begun = pull
        return pull
      })
    )
    return Effect.suspend(() => begun ?? first)
  }))

/** The pull of a stream that begins with its first one. What the stream holds is let go of with the scope. */
export const toPull = <A, E>(stream: Stream.Stream<A, E>, scope: Scope.Scope): Pull<A, E> => {
  let begun: Pull<A, E> | undefined
  const first = Effect.flatMap(Scope.extend(Stream.toPull(stream), scope), (pull) => {
    begun = pull
    return pull
  })
  return Effect.suspend(() => begun ?? first)
}
