/**
 * Converts between streams and pulls of chunks.
 *
 * A stream that {@link toStream} made is converted back to its original pull, without the cost of the stream. One fiber
 * pulls any other stream on demand, so its reader can stop waiting while a pull still runs.
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { interruptible, onAbort } from "./wait.ts"

/** The next elements, or none when there are no more. */
export type Pull<A, E> = Effect.Effect<ReadonlyArray<A>, Option.Option<E>>

/** Starts a stream whose resources belong to the scope. */
export type Start<A, E> = (scope: Scope.Scope) => Effect.Effect<Pull<A, E>, E>

/** The pull at the end of a stream. */
export const ended: Pull<never, never> = Effect.fail(Option.none())

/** How a stream of {@link toStream} starts, and the signal that ends it. */
interface Origin<A, E> {
  readonly start: Start<A, E>
  readonly signal: AbortSignal | undefined
}

const origins = new WeakMap<object, unknown>()

/** Safe, because only `toStream` writes the map, with the types of the stream. */
const originOf = <A, E>(stream: Stream.Stream<A, E>): Origin<A, E> | undefined =>
  origins.get(stream) as Origin<A, E> | undefined

/**
 * A stream that starts with its first pull, which can fail and be interrupted like later ones. The scope closes at the end
 * of the stream. `signal` is the one that the pulls already obey: they end when it is aborted.
 *
 * Like `Stream.fromPull`, but without its nested channel, which costs time for each chunk.
 */
export const toStream = <A, E>(start: Start<A, E>, signal?: AbortSignal): Stream.Stream<A, E> => {
  const stream = Stream.fromChannel(
    Channel.acquireUseRelease(
      Scope.make(),
      (scope) => Channel.flatMap(Channel.fromEffect(start(scope)), toChannel),
      Scope.close
    )
  )
  origins.set(stream, { start, signal } satisfies Origin<A, E>)
  return stream
}

const toChannel = <A, E>(pull: Pull<A, E>): Channel.Channel<Chunk.Chunk<A>, unknown, E> => {
  const step: Channel.Channel<Chunk.Chunk<A>, unknown, Option.Option<E>> = Channel.flatMap(
    Channel.fromEffect(pull),
    (elements) => Channel.flatMap(Channel.write(Chunk.unsafeFromArray(elements)), () => step)
  )
  return Channel.catchAll(step, Option.match({ onNone: () => Channel.void, onSome: Channel.fail }))
}

/** Maps the elements of a stream, a chunk at a time. */
export const mapElements = <A, E, B>(
  stream: Stream.Stream<A, E>,
  f: (elements: ReadonlyArray<A>) => ReadonlyArray<B>
): Stream.Stream<B, E> => Stream.mapChunks(stream, (chunk) => Chunk.unsafeFromArray(f(Chunk.toReadonlyArray(chunk))))

/**
 * The pull of a stream, which starts with the first pull and ends when the signal is aborted. Empty chunks are skipped. The
 * stream's resources are released with the scope.
 */
export const toPull = <A, E>(
  stream: Stream.Stream<A, E>,
  scope: Scope.Scope,
  signal: AbortSignal | undefined
): Pull<A, E> => {
  const origin = originOf(stream)
  // A stream with another signal does not end when this one is aborted.
  const start = origin !== undefined && origin.signal === signal
    ? Effect.mapError(origin.start(scope), Option.some)
    : pullInFiber(stream, scope, signal)
  let started: Pull<A, E> | undefined
  const first = Effect.flatMap(start, (pull) => {
    started = pull
    return pull
  })
  return Effect.suspend(() => started ?? first)
}

const pullInFiber = <A, E>(
  stream: Stream.Stream<A, E>,
  scope: Scope.Scope,
  signal: AbortSignal | undefined
): Effect.Effect<Pull<A, E>> =>
  Effect.flatMap(Effect.runtime<never>(), (runtime) => {
    const puller = new Puller(stream, interruptible(runtime), signal)
    return Effect.as(Scope.addFinalizer(scope, puller.close), puller.pull)
  })

/** Pulls a stream in one fiber, on demand of its reader. */
class Puller<A, E> {
  readonly #runtime: Runtime.Runtime<never>
  readonly #signal: AbortSignal | undefined
  readonly #run: Effect.Effect<Exit.Exit<never, Option.Option<E>>>
  #fiber: Fiber.RuntimeFiber<unknown> | undefined
  /** Resumes the waiting reader with a result. */
  #resume: ((result: Pull<A, E>) => void) | undefined
  /** Wakes the fiber that waits for the reader. */
  #wake: (() => void) | undefined
  /** The result of every later pull. */
  #end: Pull<A, E> | undefined
  #cancel: (() => void) | undefined

  constructor(stream: Stream.Stream<A, E>, runtime: Runtime.Runtime<never>, signal: AbortSignal | undefined) {
    this.#runtime = runtime
    this.#signal = signal
    this.#run = Effect.exit(Effect.scoped(Effect.flatMap(Stream.toPull(stream), (pull) => {
      const step: Effect.Effect<never, Option.Option<E>> = Effect.flatMap(pull, (chunk) => {
        if (Chunk.isEmpty(chunk)) return step
        this.#deliver(Effect.succeed(Chunk.toReadonlyArray(chunk)))
        return Effect.zipRight(this.#untilRequested, step)
      })
      return step
    })))
  }

  readonly pull: Pull<A, E> = Effect.suspend(() =>
    this.#end ?? Effect.async((resume) => {
      this.#resume = resume
      const wake = this.#wake
      this.#wake = undefined
      if (this.#fiber === undefined) this.#start()
      else wake?.()
    })
  )

  /** Interrupts the fiber. Does not wait for a pull that cannot be interrupted. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#finish(ended)
    const fiber = this.#fiber
    if (fiber === undefined) return Effect.void
    if (this.#wake !== undefined) return Fiber.interrupt(fiber)
    fiber.unsafeInterruptAsFork(FiberId.none)
    // A pull that can be interrupted ends when its fiber runs next, which also releases the stream's resources.
    return Effect.yieldNow()
  })

  readonly #untilRequested: Effect.Effect<void> = Effect.async((resume) => {
    if (this.#resume !== undefined) resume(Effect.void)
    else this.#wake = () => resume(Effect.void)
  })

  #start(): void {
    this.#cancel = onAbort(this.#signal, () => this.#finish(ended))
    if (this.#end !== undefined) return
    const fiber = Runtime.runFork(this.#runtime, this.#run)
    this.#fiber = fiber
    fiber.addObserver((exit) => this.#finish(Exit.flatten(exit)))
  }

  #finish(result: Pull<A, E>): void {
    this.#cancel?.()
    this.#end ??= result
    this.#deliver(this.#end)
  }

  #deliver(result: Pull<A, E>): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.(result)
  }
}
