/**
 * Properties of a conversation under any interleaving of turns, stops, interruptions and failures.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck, type Fiber, FiberId, Stream } from "effect"
import { type ChatError, type ChatResponse, LLMChat, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, held, lines, nothing, options, sent, streams, withScript } from "../support/chats.ts"
import { runs } from "../support/runs.ts"
import { makeStage } from "../support/stage.ts"

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

/** Runs the acts. Returns the history and the exit of each turn. */
const play = (config: LLMConfig.LLMConfig, all: ReadonlyArray<Act>) =>
  Effect.gen(function*() {
    const stage = yield* makeStage
    const chat = yield* LLMChat.make(config)
    const turns: Array<Fiber.RuntimeFiber<Returned, ChatError.ChatError>> = []
    all.forEach((act, n) => {
      if (act.what === "stop") stage.fork(chat.stop)
      else if (act.what === "interrupt") turns[act.which % turns.length]?.unsafeInterruptAsFork(FiberId.none)
      else turns.push(stage.fork(begin(chat, act, `${n}`)))
      stage.pass(`${act.wait} seconds`)
    })
    stage.pass("1 hour")
    const reading = stage.fork(chat.history)
    stage.settle()
    const history = reading.unsafePoll()
    return {
      history: history !== null && Exit.isSuccess(history) ? history.value : assert.fail("the history hangs"),
      exits: turns.map((turn) => turn.unsafePoll() ?? assert.fail("a turn hangs")),
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
        `leaves a history of complete turns only (${turnPolicy}, ${onInterrupt})`,
        [acts],
        ([all]) =>
          Effect.gen(function*() {
            const config = LLMConfig.make(options({ turnPolicy, onInterrupt, idleTimeout: "30 seconds" }))

            const { exits, held, history } = yield* play(config, all)

            const [system, ...messages] = history
            assert.strictEqual(system?.role, "system")
            assert.deepStrictEqual(held, nothing)
            assert.strictEqual(messages.length % 2, 0)
            const asked: Array<number> = []
            messages.forEach((message, index) => {
              assert.strictEqual(message.role, index % 2 === 0 ? "user" : "assistant")
              if (message.role === "user") asked.push(Number(message.content))
              if (message.role !== "assistant") return
              const isBlank = all[asked.at(-1) ?? -1]?.ending === "blank"
              const whole = isBlank ? "" : words(`${asked.at(-1)}`).join("")
              const isCut = message.finishReason === "interrupted"
              assert.isTrue(message.toolCalls !== undefined || whole.startsWith(message.content), message.content)
              if (onInterrupt === "rollback") assert.isFalse(isCut)
              if (!isCut && message.toolCalls === undefined) assert.strictEqual(message.content, whole)
            })
            assert.strictEqual(new Set(asked).size, asked.length)
            if (turnPolicy === "queue") assert.deepStrictEqual(asked, [...asked].sort((a, b) => a - b))
            assertReturned(exits, lines(history))
          }).pipe(withScript(script(all))),
        { timeout: 60_000, fastCheck: { numRuns: runs(8, 20) } }
      )
    }
  }
})

/** Asserts that the history contains every complete answer that a turn returned. */
const assertReturned = (
  exits: ReadonlyArray<Exit.Exit<Returned, ChatError.ChatError>>,
  history: ReadonlyArray<string>
) => {
  for (const exit of exits) {
    if (Exit.isFailure(exit) || exit.value === undefined || exit.value.text.trim() === "") continue
    const { finishReason, text } = exit.value
    const mark = finishReason === "interrupted" ? " [interrupted]" : ""
    assert.include(["stop", "interrupted"], finishReason)
    if (finishReason === "stop") assert.include(history, `assistant: ${text}${mark}`)
  }
}
