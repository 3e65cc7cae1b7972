/**
 * Streams that are pulled a chunk at a time.
 */
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** The next elements, or none when there are no more. */
export type Pull<A, E> = Effect.Effect<Chunk.Chunk<A>, Option.Option<E>>

/** The pull at the end of a stream. */
export const over: Pull<never, never> = Effect.fail(Option.none())

/**
 * A stream that begins with its first pull, where it can fail and be interrupted like every later one. The scope is closed
 * at the stream's end.
 *
 * The same as `Stream.fromPull`, without the channel in a channel that costs each chunk there.
 */
export const toStream = <A, E>(begin: (scope: Scope.Scope) => Effect.Effect<Pull<A, E>, E>): Stream.Stream<A, E> =>
  Stream.fromChannel(
    Channel.acquireUseRelease(
      Scope.make(),
      (scope) => Channel.flatMap(Channel.fromEffect(begin(scope)), toChannel),
      Scope.close
    )
  )

const toChannel = <A, E>(pull: Pull<A, E>): Channel.Channel<Chunk.Chunk<A>, unknown, E> => {
  const step: Channel.Channel<Chunk.Chunk<A>, unknown, Option.Option<E>> = Channel.flatMap(
    Channel.fromEffect(pull),
    (chunk) => Channel.flatMap(Channel.write(chunk), () => step)
  )
  return Channel.catchAll(step, Option.match({ onNone: () => Channel.void, onSome: Channel.fail }))
}

/** The pull of a stream that begins with its first one. What the stream holds is let go of with the scope. */
export const toPull = <A, E>(stream: Stream.Stream<A, E>, scope: Scope.Scope): Pull<A, E> => {
  let begun: Pull<A, E> | undefined
  const first = Effect.flatMap(Scope.extend(Stream.toPull(stream), scope), (pull) => {
    begun = pull
    return pull
  })
  return Effect.suspend(() => begun ?? first)
}

/**
 * Like {@link toPull}, for a reader who can close the scope while a pull that was interrupted still runs: what the stream
 * holds is let go of when that has ended. Closed in the middle of a pull, a stream loses what that is about to acquire.
 */
export const toPullApart = <A, E>(stream: Stream.Stream<A, E>, scope: Scope.Scope): Pull<A, E> => {
  let begun: Pull<A, E> | undefined
  let isPulling = false
  let isClosed = false
  const begin = (own: Scope.CloseableScope): Effect.Effect<Pull<A, E>> => {
    const pull = toPull(stream, own)
    const letGo = Effect.suspend(() => isClosed && !isPulling ? Scope.close(own, Exit.void) : Effect.void)
    const step: Pull<A, E> = Effect.uninterruptibleMask((restore) => {
      isPulling = true
      return Effect.onExit(restore(pull), () => {
        isPulling = false
        return letGo
      })
    })
    begun = step
    const close = Effect.suspend(() => {
      isClosed = true
      // A pull that was interrupted ends with its fiber's next turn: where it does, this is done when all is let go of.
      return isPulling ? Effect.yieldNow() : letGo
    })
    return Effect.as(Scope.addFinalizer(scope, close), step)
  }
  const first = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Scope.make(), (own) => Effect.flatMap(begin(own), restore))
  )
  return Effect.suspend(() => begun ?? first)
}
