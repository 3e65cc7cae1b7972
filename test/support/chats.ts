/**
 * What the tests of conversations share: answers, transcripts, and fibers that run an operation at a time.
 */
import { type HttpClient } from "@effect/platform"
import { Clock, Duration, Effect, type Fiber, Runtime, Scheduler } from "effect"
import { type ChatError, type ChatMessage, type LLMChat, type LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"

/** The settings of a conversation with a scripted server. */
export const options = (more?: Partial<LLMConfig.Options>): LLMConfig.Options => ({
  baseUrl: "http://scripted.test/v1",
  model: "m",
  systemPrompt: "S",
  maxRetries: 0,
  ...more
})

/** A `usage` object as servers send it. */
export const usage = (input: number, output: number) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output
})

/** A whole answer that is no stream. */
export const answer = (content: string, more?: object): ScriptedHttpClient.ScriptedResponse =>
  ScriptedHttpClient.json({
    id: "chatcmpl-scripted",
    object: "chat.completion",
    model: "scripted",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    ...more
  })

/** Answers that repeat the last user message, whole or as a stream of its words. */
export const echo = (
  more?: ScriptedHttpClient.TokensOptions
): (request: ScriptedHttpClient.CapturedRequest) => ScriptedHttpClient.ScriptedResponse =>
(request) => {
  const said = `re ${sent(request).at(-1)?.replace(/^user: /, "")}`
  return streams(request) ? ScriptedHttpClient.tokens(said.split(/(?<= )/), more) : answer(said)
}

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

/** Whether a request asks for a stream. */
export const streams = (request: ScriptedHttpClient.CapturedRequest): boolean => member(request.body, "stream") === true

/** The messages of a request, a line each. */
export const sent = (request: ScriptedHttpClient.CapturedRequest | undefined): ReadonlyArray<string> => {
  const messages = member(request?.body, "messages")
  return Array.isArray(messages)
    ? messages.map((message) => `${String(member(message, "role"))}: ${String(member(message, "content"))}`)
    : []
}

/** Messages, a line each; the answers that were cut are marked. */
export const lines = (messages: ReadonlyArray<ChatMessage.ChatMessage>): ReadonlyArray<string> =>
  messages.map((message) => {
    const content = typeof message.content === "string" ? message.content : JSON.stringify(message.content)
    const isCut = message.role === "assistant" && message.finishReason === "interrupted"
    return `${message.role}: ${content}${isCut ? " [interrupted]" : ""}`
  })

/** The history, a line each message. */
export const transcript = (chat: LLMChat.Service): Effect.Effect<ReadonlyArray<string>, ChatError.ChatError> =>
  Effect.map(chat.history, lines)

/** What the script holds open or waits for. All 0 when nothing leaks. */
export const held: Effect.Effect<
  { readonly open: number; readonly pending: number; readonly unread: number },
  never,
  ScriptedHttpClient.ScriptedHttpClient
> = Effect.flatMap(
  ScriptedHttpClient.ScriptedHttpClient,
  (script) => Effect.all({ open: script.openBodies, pending: script.pendingRequests, unread: script.unreadBodies })
)

/** What `held` gives when nothing leaks. */
export const nothing = { open: 0, pending: 0, unread: 0 }

/** All requests so far. */
export const requests: Effect.Effect<
  ReadonlyArray<ScriptedHttpClient.CapturedRequest>,
  never,
  ScriptedHttpClient.ScriptedHttpClient
> = Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (script) => script.requests)

/** A test's program over a scripted server. */
export const withScript = (script: ScriptedHttpClient.Script) =>
<A, E, R>(
  program: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, HttpClient.HttpClient | ScriptedHttpClient.ScriptedHttpClient>> =>
  Effect.provide(program, ScriptedHttpClient.layer(script))

/** Counts the operations of the fibers that it runs, and lets another go first before one of them. */
class Scheduling extends Scheduler.ControlledScheduler {
  private left = Infinity
  private disturb: (() => void) | undefined
  brokeIn = false

  override shouldYield(): number | false {
    if (this.left-- > 0) return false
    this.left = Infinity
    this.brokeIn = true
    return 0
  }

  breakIn(after: number, disturb: () => void): void {
    this.left = after
    this.disturb = disturb
  }

  leaveAlone(): void {
    this.left = Infinity
  }

  override step(): void {
    if (this.brokeIn) {
      this.disturb?.()
      this.disturb = undefined
    }
    super.step()
  }
}

/** Fibers beside those of the test, which it can break in on between any two of their operations. */
export interface Stage {
  /** A fiber that runs when the stage settles. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** A fiber that runs now, as far as it can. */
  readonly start: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Disturbs the fibers once they have run so many operations more. */
  readonly breakIn: (after: number, disturb: () => void) => void
  /** Disturbs nobody any more. */
  readonly leaveAlone: () => void
  /** Whether they had so many. */
  readonly brokeIn: () => boolean
  /** Runs the fibers until they wait for what is not there yet, or have ended. */
  readonly settle: () => void
  /** Lets time pass for the fibers. */
  readonly pass: (duration: Duration.DurationInput) => void
}

/** A clock that stands still until it is told to go on. The TestClock loses its lock to fibers that are interrupted. */
const makeClock = () => {
  let now = 0
  let sleepers: Array<{ readonly at: number; readonly wake: () => void }> = []
  const clock: Clock.Clock = Object.create(Clock.make(), {
    unsafeCurrentTimeMillis: { value: () => now },
    unsafeCurrentTimeNanos: { value: () => BigInt(now) * 1_000_000n },
    currentTimeMillis: { value: Effect.sync(() => now) },
    currentTimeNanos: { value: Effect.sync(() => BigInt(now) * 1_000_000n) },
    sleep: {
      value: (duration: Duration.DurationInput) =>
        Effect.async<void>((resume) => {
          const sleeper = { at: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
          sleepers.push(sleeper)
          return Effect.sync(() => {
            sleepers = sleepers.filter((other) => other !== sleeper)
          })
        })
    }
  })
  /** Goes on to the next time at which somebody wakes; whether there is one up to then. */
  const wakeNext = (until: number): boolean => {
    const at = Math.min(...sleepers.map((sleeper) => sleeper.at))
    now = Math.min(at, until)
    const woken = sleepers.filter((sleeper) => sleeper.at <= now)
    sleepers = sleepers.filter((sleeper) => sleeper.at > now)
    for (const { wake } of woken) wake()
    return at <= until
  }
  return { clock, now: () => now, wakeNext }
}

/** A stage of its own, whose time is its own. */
export const makeStage: Effect.Effect<Stage> = Effect.suspend(() => {
  const { clock, now, wakeNext } = makeClock()
  return Effect.map(Effect.withClock(Effect.runtime<never>(), clock), (runtime) => {
    const scheduler = new Scheduling()
    const settle = (): void => {
      for (let n = 0; scheduler.tasks.buckets.length > 0; n++) {
        if (n > 100_000) throw new Error("the fibers never come to rest")
        scheduler.step()
      }
    }
    return {
      fork: (effect) => Runtime.runFork(runtime)(effect, { scheduler, immediate: false }),
      start: (effect) => Runtime.runFork(runtime)(effect, { scheduler }),
      breakIn: (after, disturb) => scheduler.breakIn(after, disturb),
      leaveAlone: () => scheduler.leaveAlone(),
      brokeIn: () => scheduler.brokeIn,
      settle,
      pass: (duration) => {
        const until = now() + Duration.toMillis(duration)
        settle()
        while (wakeNext(until)) settle()
      }
    }
  })
})
