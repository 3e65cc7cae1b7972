/**
 * Turns of several steps: after the results of an answer's tool calls, the next request is sent.
 */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Option, type Scope, Stream, TestClock } from "effect"
import { ChatCompletions, ChatMessage, HistoryWindow, LLMConfig, Tool, ToolSet } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { store as noopStore } from "../../../src/internal/history/noopStore.ts"
import { toPull, toStream } from "../../../src/internal/transport/stream.ts"
import { beginTurn } from "../../../src/internal/turn/beginTurn.ts"
import type { FinishedTurn } from "../../../src/internal/turn/content.ts"
import { Conversation } from "../../../src/internal/turn/conversation.ts"
import * as StepLoop from "../../../src/internal/turn/stepLoop.ts"
import { held, lines, nothing, options, requests, sent, streams, usage, withScript } from "../../support/chats.ts"

const call = { id: "c1", type: "function", function: { name: "time", arguments: "{}" } }

/** A server that calls a tool, and answers once it gets the result. */
const script = (request: ScriptedHttpClient.CapturedRequest): ScriptedHttpClient.ScriptedResponse => {
  const hasResult = sent(request).some((line) => line.startsWith("tool:"))
  const message = hasResult ? { role: "assistant", content: "noon" } : { role: "assistant", tool_calls: [call] }
  const reason = hasResult ? "stop" : "tool_calls"
  return streams(request)
    ? ScriptedHttpClient.sse([
      { choices: [{ index: 0, delta: hasResult ? message : { tool_calls: [{ index: 0, ...call }] } }] },
      { choices: [{ index: 0, delta: {}, finish_reason: reason }] },
      { choices: [], usage: usage(1, 10) },
      "[DONE]"
    ])
    : ScriptedHttpClient.json({
      choices: [{ index: 0, message, finish_reason: reason }],
      usage: usage(1, 10)
    })
}

/** A conversation that records its commits. */
class Recording extends Conversation {
  readonly commits: Array<FinishedTurn> = []

  override commit(turn: FinishedTurn): ReturnType<Conversation["commit"]> {
    this.commits.push(turn)
    return super.commit(turn)
  }
}

/** A tool that returns the time. */
const clock = (handler: Effect.Effect<string> = Effect.succeed("12:00")) =>
  ToolSet.make([Tool.make({ name: "time", parameters: {}, handler: () => handler })])

const make = Effect.map(ChatCompletions.make, (completions) => {
  const conversation = new Recording({
    id: "",
    store: noopStore,
    defaults: LLMConfig.make(options({ wire: { toolHistory: "calls" } })),
    window: HistoryWindow.all
  })
  const begin = (scope: Scope.Scope, toolSet?: ToolSet.ToolSet) =>
    Effect.catchTag(
      beginTurn(
        conversation,
        { input: [ChatMessage.user("What time is it?")], tools: toolSet && (() => toolSet.forTurn({})) },
        scope
      ),
      "Closed",
      Effect.die
    )
  const respond = (toolSet?: ToolSet.ToolSet) =>
    Effect.scopedWith((scope) =>
      Effect.flatMap(begin(scope, toolSet), (turn) => {
        const complete = turn.meter.metered(completions.complete)
        return StepLoop.complete(
          turn,
          (f) => StepLoop.send(turn, complete, f),
          (request) => Effect.map(complete(request), (response) => ({ response }))
        )
      })
    )
  const stream = (toolSet?: ToolSet.ToolSet) =>
    toStream((scope) =>
      Effect.map(
        begin(scope, toolSet),
        (turn) =>
          StepLoop.stream(turn, (f) => StepLoop.send(turn, completions.complete, f), (request) => {
            turn.meter.begin(request)
            return toPull(completions.stream(request), turn.scope, turn.signal)
          }, (events) => events)
      )
    )
  return { conversation, respond, stream }
})

const messages = ["user: What time is it?", "assistant: null", "tool: 12:00", "assistant: noon"]

describe("a turn of two steps", () => {
  it.effect("sends the answer and its tool results with the second request, and commits once", () =>
    Effect.gen(function*() {
      const { conversation, respond } = yield* make

      const answer = yield* respond(yield* clock())

      assert.strictEqual(answer.response.text, "noon")
      assert.deepStrictEqual((yield* requests).map((request) => sent(request).length), [2, 4])
      assert.lengthOf(conversation.commits, 1)
      assert.deepStrictEqual(lines(conversation.commits[0]?.messages ?? []).map(shorten), messages)
      assert.strictEqual(conversation.commits[0]?.usage?.totalTokens, 22)
      assert.match(conversation.commits[0]?.turnId ?? "", /^turn_[0-9a-f]{16}$/)
    }).pipe(withScript(script)))

  it.effect("streams the deltas of both answers and one Finish", () =>
    Effect.gen(function*() {
      const { conversation, stream } = yield* make

      const events = yield* Stream.runCollect(stream(yield* clock()))

      const tags = Chunk.toReadonlyArray(events).map((event) => event._tag)
      assert.strictEqual(tags.filter((tag) => tag === "Finish").length, 1)
      assert.strictEqual(tags.at(-1), "Finish")
      assert.include(tags, "ToolCallDelta")
      assert.include(tags, "TextDelta")
      assert.lengthOf(conversation.commits, 1)
      assert.deepStrictEqual(lines(conversation.commits[0]?.messages ?? []).map(shorten), messages)
      assert.strictEqual(conversation.commits[0]?.usage?.totalTokens, 22)
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(withScript(script)))

  it.effect("ends after the first step if nothing answers its tool calls", () =>
    Effect.gen(function*() {
      const { conversation, respond } = yield* make
      const answer = yield* respond()
      assert.strictEqual(answer.response.finishReason, "tool-calls")
      assert.lengthOf(yield* requests, 1)
      assert.lengthOf(conversation.commits[0]?.messages ?? [], 2)
    }).pipe(withScript(script)))

  for (const mode of ["respond", "stream"] as const) {
    it.effect(`keeps the complete first step if it is stopped in the second (${mode})`, () =>
      Effect.gen(function*() {
        const made = yield* make
        const turn = yield* Effect.fork(
          mode === "respond" ? made.respond(yield* clock()) : Stream.runDrain(made.stream(yield* clock()))
        )
        yield* TestClock.adjust(0)
        assert.lengthOf(yield* requests, 2)

        yield* made.conversation.stop

        assert.isTrue(Exit.isSuccess(yield* Fiber.await(turn)))
        assert.lengthOf(made.conversation.commits, 1)
        assert.deepStrictEqual(
          lines(made.conversation.commits[0]?.messages ?? []).map(shorten).slice(0, 3),
          messages.slice(0, 3)
        )
      }).pipe(withScript((request) =>
        sent(request).length > 2
          ? ScriptedHttpClient.delayed("1 hour", script(request))
          : script(request)
      )))

    /** Starts a turn, and waits until its handler runs. */
    const runHandler = Effect.gen(function*() {
      const made = yield* make
      const interruptions: Array<string> = []
      const handler = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interruptions.push("handler")))
      const toolSet = yield* clock(handler)
      const turn = yield* Effect.fork(
        mode === "respond" ? made.respond(toolSet) : Stream.runDrain(made.stream(toolSet))
      )
      yield* TestClock.adjust(0)
      return { interruptions, made, turn }
    })

    it.effect(`interrupts the handlers when it is stopped (${mode})`, () =>
      Effect.gen(function*() {
        const { interruptions, made, turn } = yield* runHandler

        yield* made.conversation.stop
        yield* Fiber.await(turn)

        assert.deepStrictEqual(interruptions, ["handler"])
        assert.lengthOf(made.conversation.commits, 1)
        assert.strictEqual((yield* made.conversation.usage).totalTokens, 11)
      }).pipe(withScript(script)))

    it.effect(`interrupts the handlers when its fiber is interrupted (${mode})`, () =>
      Effect.gen(function*() {
        const { interruptions, made, turn } = yield* runHandler
        yield* Fiber.interrupt(turn)
        assert.deepStrictEqual(interruptions, ["handler"])
        assert.isTrue(Option.isNone(Option.fromNullable(made.conversation.lock.holder)))
      }).pipe(withScript(script)))
  }
})

const shorten = (line: string): string =>
  line.replace("assistant: \"\"", "assistant: null").replace(/^assistant: $/, "assistant: null")
