/**
 * Properties of a conversation under any interleaving of turns, stops, interruptions and failures.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, FastCheck, type Fiber, FiberId, Option, Stream } from "effect"
import { type ChatError, type ChatMessage, type ChatResponse, LLMChat, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, held, nothing, options, sent, streams, withScript } from "../support/chats.ts"
import { runs } from "../support/runs.ts"
import { ended, makeStage } from "../support/stage.ts"

const { delay, delayed, json, never, reset, sse, tokens } = ScriptedHttpClient

const endings = ["complete", "truncated", "reset", "refused", "blank", "silent", "tools"] as const

interface Act {
  readonly what: "chat" | "stream" | "leave" | "stop" | "interrupt"
  /** How the answer of the server ends. */
  readonly ending: (typeof endings)[number]
  /** Seconds before each token. */
  readonly pace: number
  /** Seconds before the next act. */
  readonly wait: number
  /** The index of the turn that is interrupted. */
  readonly which: number
}

const acts: FastCheck.Arbitrary<ReadonlyArray<Act>> = FastCheck.array(
  FastCheck.record({
    what: FastCheck.constantFrom("chat", "chat", "stream", "stream", "stream", "leave", "stop", "interrupt"),
    ending: FastCheck.constantFrom("complete", "complete", "complete", ...endings),
    pace: FastCheck.nat({ max: 3 }),
    wait: FastCheck.nat({ max: 4 }),
    which: FastCheck.nat({ max: 11 })
  }),
  { minLength: 1, maxLength: 12 }
)

const words = (prompt: string): ReadonlyArray<string> => [`re ${prompt} `, "two ", "three"]

const toolCall = { index: 0, id: "c", function: { name: "f", arguments: "{}" } }

const respond = (act: Act, prompt: string, isStream: boolean): ScriptedHttpClient.ScriptedResponse => {
  const said = act.ending === "blank" ? [" ", "\n"] : words(prompt)
  const pace = { delay: `${act.pace} seconds` } as const
  if (act.ending === "refused") return delayed(pace.delay, json({ error: { message: "no" } }, { status: 400 }))
  if (!isStream) return delayed(pace.delay, act.ending === "reset" ? sse([reset()]) : answer(said.join("")))
  if (act.ending === "tools") {
    return sse([
      { choices: [{ index: 0, delta: { tool_calls: [toolCall] } }] },
      delay(pace.delay),
      { choices: [{ index: 0, delta: {}, finish_reason: "tool_calls" }] }
    ])
  }
  return tokens(said, {
    ...pace,
    ending: act.ending === "truncated"
      ? "truncated"
      : act.ending === "reset"
      ? reset()
      : act.ending === "silent"
      ? never
      : "complete"
  })
}

type Returned = ChatResponse.ChatResponse | undefined

const last = <E>(chat: LLMChat.Service, prompt: string): Effect.Effect<Returned, ChatError.ChatError | E> =>
  Effect.map(
    Stream.runLast(chat.chatEvents(prompt)),
    (event) => event._tag === "Some" && event.value._tag === "Finish" ? event.value.response : undefined
  )

const begin = (chat: LLMChat.Service, act: Act, prompt: string): Effect.Effect<Returned, ChatError.ChatError> => {
  if (act.what === "chat") return chat.chat(prompt)
  if (act.what === "stream") return last(chat, prompt)
  return Effect.as(Stream.runDrain(Stream.take(chat.chatStream(prompt), 2)), undefined)
}

/** A turn that has ended. */
interface Turn {
  readonly act: Act
  /** The index of the act, which is the prompt. */
  readonly prompt: number
  readonly exit: Exit.Exit<Returned, ChatError.ChatError>
  readonly isInterrupted: boolean
}

/** Runs the acts. Returns the history and the turns. */
const play = (config: LLMConfig.LLMConfig, all: ReadonlyArray<Act>) =>
  Effect.gen(function*() {
    const stage = yield* makeStage
    const chat = yield* LLMChat.make(config)
    const turns: Array<
      Omit<Turn, "exit" | "isInterrupted"> & {
        readonly fiber: Fiber.RuntimeFiber<Returned, ChatError.ChatError>
        isInterrupted: boolean
      }
    > = []
    all.forEach((act, prompt) => {
      const target = turns[act.which % turns.length]
      if (act.what === "stop") stage.fork(chat.stop)
      else if (act.what !== "interrupt") {
        turns.push({ act, prompt, fiber: stage.fork(begin(chat, act, `${prompt}`)), isInterrupted: false })
      } else if (target !== undefined) {
        target.isInterrupted = true
        target.fiber.unsafeInterruptAsFork(FiberId.none)
      }
      stage.pass(`${act.wait} seconds`)
    })
    stage.pass("1 hour")
    const reading = stage.fork(chat.history)
    stage.settle()
    const history = reading.unsafePoll()
    return {
      history: history !== null && Exit.isSuccess(history) ? history.value : assert.fail("the history hangs"),
      turns: turns.map(({ fiber, ...turn }): Turn => ({ ...turn, exit: ended(fiber, `turn ${turn.prompt}`) })),
      held: yield* held
    }
  })

const script = (all: ReadonlyArray<Act>): ScriptedHttpClient.Script => (request) => {
  // The prompts of interrupted turns come first in the same message.
  const prompt = (sent(request).at(-1) ?? "").replace("user: ", "").split("\n\n").at(-1) ?? ""
  const act = all[Number(prompt)]
  return act === undefined ? json({}, { status: 500 }) : respond(act, prompt, streams(request))
}

describe("any interleaving of turns, interruptions, stops and failures", () => {
  for (const turnPolicy of ["queue", "reject", "replace"] as const) {
    for (const onInterrupt of ["keep", "rollback"] as const) {
      it.effect.prop(
        `leaves a history of complete turns with the answers that they returned (${turnPolicy}, ${onInterrupt})`,
        [acts],
        ([all]) =>
          Effect.gen(function*() {
            const config = LLMConfig.make(options({ turnPolicy, onInterrupt, idleTimeout: "30 seconds" }))

            const { held, history, turns } = yield* play(config, all)

            const [system, ...messages] = history
            assert.strictEqual(system?.role, "system")
            assert.deepStrictEqual(held, nothing)
            assert.strictEqual(messages.length % 2, 0)
            const asked: Array<number> = []
            const answers = new Map<number, ChatMessage.AssistantMessage>()
            messages.forEach((message, index) => {
              assert.strictEqual(message.role, index % 2 === 0 ? "user" : "assistant")
              if (message.role === "user") asked.push(Number(message.content))
              if (message.role !== "assistant") return
              answers.set(asked.at(-1) ?? -1, message)
              const isBlank = all[asked.at(-1) ?? -1]?.ending === "blank"
              const whole = isBlank ? "" : words(`${asked.at(-1)}`).join("")
              const isCut = message.finishReason === "interrupted"
              assert.isTrue(message.toolCalls !== undefined || whole.startsWith(message.content), message.content)
              if (onInterrupt === "rollback") assert.isFalse(isCut)
              if (!isCut && message.toolCalls === undefined) assert.strictEqual(message.content, whole)
            })
            assert.strictEqual(new Set(asked).size, asked.length)
            if (turnPolicy === "queue") assert.deepStrictEqual(asked, [...asked].sort((a, b) => a - b))
            const canBeStopped = turnPolicy === "replace" || all.some(({ what }) => what === "stop")
            for (const turn of turns) {
              if (Exit.isFailure(turn.exit)) assertFailed(turn, turn.exit.cause, asked, { onInterrupt, turnPolicy })
              else assertReturned(turn, turn.exit.value, answers, { canBeStopped, onInterrupt })
            }
          }).pipe(withScript(script(all))),
        { timeout: 60_000, fastCheck: { numRuns: runs(8, 20) } }
      )
    }
  }
})

/** The errors of the turns whose answers end so. The other answers never fail a turn. */
const errorOf: Readonly<Partial<Record<Act["ending"], ChatError.ChatError["_tag"]>>> = {
  refused: "InvalidRequestError",
  reset: "TransportError",
  truncated: "TruncatedError",
  silent: "TimeoutError"
}

/** Asserts that a failed turn was interrupted, rejected, or failed as its answer did, which leaves it out of the history. */
const assertFailed = (
  { act, isInterrupted, prompt }: Turn,
  cause: Cause.Cause<ChatError.ChatError>,
  asked: ReadonlyArray<number>,
  { onInterrupt, turnPolicy }: Pick<LLMConfig.LLMConfig, "onInterrupt" | "turnPolicy">
) => {
  const failure = Cause.failureOption(cause)
  assert.isTrue(Option.isSome(failure) || Cause.isInterruptedOnly(cause), Cause.pretty(cause))
  if (Option.isNone(failure)) assert.isTrue(isInterrupted, "a turn that nobody interrupted is interrupted")
  else assert.include([errorOf[act.ending], turnPolicy === "reject" ? "BusyError" : ""], failure.value._tag)
  if (Option.isSome(failure) || onInterrupt === "rollback") assert.notInclude(asked, prompt)
}

/** Asserts that the history contains exactly the answer that a turn returned. */
const assertReturned = (
  { act, prompt }: Turn,
  response: Returned,
  answers: ReadonlyMap<number, ChatMessage.AssistantMessage>,
  { canBeStopped, onInterrupt }: Pick<LLMConfig.LLMConfig, "onInterrupt"> & { readonly canBeStopped: boolean }
) => {
  if (act.what === "leave") return assert.strictEqual(response, undefined)
  const reason = response?.finishReason
  const answer = answers.get(prompt)
  assert.include(["stop", "tool-calls", canBeStopped ? "interrupted" : "stop"], reason)
  if (reason === "tool-calls") assert.strictEqual(act.ending, "tools")
  if (reason === "interrupted" && onInterrupt === "rollback") return assert.strictEqual(answer, undefined)
  // The history keeps a blank text as an empty one.
  const text = response?.text.trim() === "" ? "" : response?.text
  assert.deepStrictEqual([answer?.content, answer?.finishReason], [text, reason])
}
