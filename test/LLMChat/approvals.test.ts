/**
 * Approvals of tool calls: by `approve` during the turn, or by a later turn, possibly in another process.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Option, Schema, Stream, TestClock } from "effect"
import {
  CallOptions,
  ChatManager,
  ChatMessage,
  HistoryStore,
  HistoryWindow,
  LLMConfig,
  Tool,
  type ToolSet,
  Turn
} from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { lines, options, requests, sent, withScript } from "../support/chats.ts"
import { calls, echo, eventsOf, isPaired, makeChat, member, pay, respond, says, setOf, tags } from "../support/tools.ts"

const forms = ["complete", "streamed"] as const

const twoPayments = calls(
  { name: "pay", arguments: { amount: 1 } },
  { name: "echo" },
  { name: "pay", arguments: { amount: 2 } }
)

/** A payment tool with a handler that never completes. */
const waits = Tool.make({
  name: "pay",
  parameters: { amount: Schema.Number },
  needsApproval: true,
  handler: () => Effect.never
})

/** The outcomes of the tool results in a history. */
const outcomes = (history: ReadonlyArray<ChatMessage.ChatMessage>): ReadonlyArray<string | undefined> =>
  history.flatMap((message) => message.role === "tool" ? [message.outcome] : [])

describe("approve", () => {
  for (const approved of [true, { approved: false, reason: "too much" }] as const) {
    it.effect(`decides whether a call runs (${JSON.stringify(approved)}, B10, B11)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const paid: Array<string> = []
        const toolSet = yield* setOf(pay(paid))
        const events = yield* eventsOf(chat, "Go", { toolSet, approve: () => Effect.succeed(approved) })
        const isApproved = approved === true
        assert.lengthOf(paid, isApproved ? 1 : 0)
        assert.deepStrictEqual(tags(events), [
          "ApprovalRequest pay",
          ...isApproved ? ["ToolStart pay"] : [],
          `ToolResult pay ${isApproved ? "success" : "denied"}`,
          "StepFinish 0",
          "StepFinish 1",
          "Finish stop"
        ])
        if (!isApproved) {
          const result = (yield* chat.history).find((message) => message.role === "tool")
          assert.include(result?.content, "denied (too much). It was not run and is not queued.")
          assert.strictEqual(result?.outcome, "denied")
        }
      }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), says("done")])))
  }

  it.effect("has its own time limit, and its timeout is not a denial (B12)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ totalTimeout: "1 minute" })
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      const turn = yield* Effect.fork(
        chat.chat("Go", { toolSet, approve: () => Effect.never, approvalTimeout: "1 hour" })
      )
      yield* TestClock.adjust("1 hour")
      const { steps } = yield* Fiber.join(turn)
      assert.strictEqual(steps?.[0]?.toolCalls[0]?.outcome, "approvalTimeout")
      assert.lengthOf(paid, 0)
    }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), says("done")])))

  it.effect("runs no call after a stop, even if the call is approved then", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const go = yield* Deferred.make<boolean>()
      const toolSet = yield* setOf(pay(paid))
      const approve: ToolSet.Approve = (request) =>
        request.arguments.includes("1") ? Effect.as(chat.stop, true) : Deferred.await(go)
      const turn = yield* Effect.fork(chat.chat("Go", { toolSet, approve }))
      yield* TestClock.adjust(0)
      yield* Deferred.succeed(go, true)
      assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
      assert.deepStrictEqual(outcomes(yield* chat.history), ["notStarted", "notStarted"])
      assert.lengthOf(paid, 0)
    }).pipe(withScript([
      calls({ name: "pay", arguments: { amount: 1 } }, { name: "pay", arguments: { amount: 2 } })
    ])))

  it.effect("is not called again in the same turn for a call that it denied (B11)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      let asked = 0
      const toolSet = yield* setOf(pay())
      const approve = () => Effect.sync(() => ++asked > 9)
      yield* chat.chat("Go", { toolSet, approve })
      assert.strictEqual(asked, 1)
      yield* chat.chat("Please", { toolSet, approve })
      assert.strictEqual(asked, 2)
    }).pipe(withScript((_request, index) =>
      [0, 1, 3].includes(index) ? calls({ name: "pay", arguments: { amount: 1 } }) : says("done")
    )))
})

describe("an ask call", () => {
  it.effect("denies calls that need an approval if approve is absent", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid), echo())
      const response = yield* chat.ask("Go", { toolSet })
      assert.strictEqual(response.text, "done")
      assert.deepStrictEqual(response.steps?.[0]?.toolCalls.map(({ outcome }) => outcome), [
        "denied",
        "success",
        "denied"
      ])
      assert.include(sent((yield* requests)[1])[3], "nobody can approve it in this question")

      const events = yield* Stream.runCollect(chat.askEvents("Go", { toolSet }))
      assert.sameMembers([...tags(Array.from(events))], [
        "ToolResult pay denied",
        "ToolStart echo",
        "ToolResult echo success",
        "ToolResult pay denied",
        "StepFinish 0",
        "StepFinish 1",
        "Finish stop"
      ])
      const value = yield* chat.askObject("Go", Schema.Struct({ paid: Schema.Boolean }), { toolSet })
      assert.deepStrictEqual(value, { paid: false })
      assert.lengthOf(paid, 0)
    }).pipe(
      withScript([twoPayments, says("done"), twoPayments, says("done"), twoPayments, says("{\"paid\":false}")])
    ))

  it.effect("runs calls that approve allows", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid), echo())
      assert.strictEqual((yield* chat.ask("Go", { toolSet, approve: () => Effect.succeed(true) })).text, "done")
      assert.lengthOf(paid, 2)
    }).pipe(withScript([twoPayments, says("done")])))
})

describe("a turn with open calls", () => {
  for (const form of forms) {
    it.effect(`runs its other calls, is stored, and continues with the same id after the answers (${form}, B3, B7)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const paid: Array<string> = []
        const echoed: Array<string> = []
        const toolSet = yield* setOf(pay(paid), echo(echoed))
        const waiting = yield* respond(chat, form, "Go", { toolSet })
        assert.strictEqual(waiting.finishReason, "tool-calls")
        assert.deepStrictEqual([paid.length, echoed.length], [0, 1])
        assert.deepStrictEqual(waiting.steps?.[0]?.toolCalls.map(({ outcome }) => outcome), [
          undefined,
          "success",
          undefined
        ])

        const open = yield* chat.openCalls
        assert.deepStrictEqual(open.map((call) => [call.name, call.arguments, call.needsApproval, call.turnId]), [
          ["pay", "{\"amount\":1}", true, waiting.turnId],
          ["pay", "{\"amount\":2}", true, waiting.turnId]
        ])
        const answers = open.map(({ callId }, index) => ({ callId, approved: index === 0 }))
        const done = yield* respond(chat, form, Turn.respond(answers), { toolSet })

        assert.strictEqual(done.text, "done")
        assert.strictEqual(done.turnId, waiting.turnId)
        assert.deepStrictEqual(paid, [open[0]?.callId])
        assert.lengthOf(echoed, 1)
        assert.lengthOf(yield* requests, 2)
        assert.deepStrictEqual(sent((yield* requests)[1]).slice(3).map((line) => line.slice(0, 20)), [
          "tool: paid 1",
          "tool: echo ",
          "tool: The call of pa"
        ])
        assert.deepStrictEqual(yield* chat.openCalls, [])
        assert.strictEqual(yield* chat.rewind(5), 1)
      }).pipe(withScript([twoPayments, says("done")])))
  }

  it.effect("emits ApprovalRequest after it is stored (B3)", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const manager = yield* ChatManager.make({ config: LLMConfig.make(options()) })
      const chat = yield* manager.getChat("ada")
      const toolSet = yield* setOf(pay())
      const stored: Array<number> = []
      yield* Stream.runForEach(chat.chatEvents("Go", { toolSet }), (event) =>
        event._tag === "ApprovalRequest"
          ? Effect.map(store.version("ada"), ({ version }) => stored.push(version))
          : Effect.void)
      assert.deepStrictEqual(stored, [1])
    }).pipe(
      Effect.provide(HistoryStore.layerMemory),
      withScript([calls({ name: "pay", arguments: { amount: 1 } })]),
      Effect.scoped
    ))

  it.effect("returns the total usage at its end, and the conversation counts each request once (A14)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(pay())
      const first = yield* chat.chat("Go", { toolSet })
      const [open] = yield* chat.openCalls
      const last = yield* chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), { toolSet })
      assert.deepStrictEqual([first.usage?.totalTokens, last.usage?.totalTokens], [7, 27])
      assert.strictEqual((yield* chat.usage).totalTokens, 27)
    }).pipe(withScript([
      ScriptedHttpClient.toolCalls([{ name: "pay", arguments: { amount: 1 } }], {
        usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 }
      }),
      ScriptedHttpClient.tokens(["done"], {
        usage: { prompt_tokens: 18, completion_tokens: 2, total_tokens: 20 }
      })
    ])))

  it.effect("continues after the last answer, and accepts answers in any order and separately (B5)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid), echo())
      yield* chat.chat("Go", { toolSet })
      const [first, second] = yield* chat.openCalls
      const events = yield* eventsOf(chat, Turn.respond([{ callId: second?.callId ?? "", approved: true }]), {
        toolSet
      })
      assert.deepStrictEqual(tags(events), [
        "ToolStart pay",
        "ToolResult pay success",
        "StepFinish 0",
        "Finish tool-calls"
      ])
      assert.lengthOf(yield* requests, 1)
      assert.deepStrictEqual((yield* chat.openCalls).map(({ callId }) => callId), [first?.callId])

      const done = yield* chat.chat(Turn.respond([{ callId: first?.callId ?? "", result: "by hand" }]), { toolSet })

      assert.strictEqual(done.text, "done")
      assert.deepStrictEqual(paid, [second?.callId])
      assert.deepStrictEqual(sent((yield* requests)[1]).slice(3), ["tool: by hand", "tool: echo ", "tool: paid 2"])
    }).pipe(withScript([twoPayments, says("done")])))

  it.effect("can have open calls again after a continuation, and sends each result once", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      const approve = Effect.flatMap(chat.openCalls, (open) =>
        chat.chat(Turn.respond(open.map(({ callId }) => ({ callId, approved: true }))), { toolSet }))
      const { turnId } = yield* chat.chat("Go", { toolSet })
      yield* approve
      const done = yield* approve
      assert.deepStrictEqual([done.text, done.turnId], ["done", turnId])
      assert.deepStrictEqual(paid, [`${turnId}_0_0`, `${turnId}_1_0`])
      const results = sent((yield* requests)[2]).filter((line) =>
        line.startsWith("tool:")
      )
      assert.deepStrictEqual(results, ["tool: paid 1", "tool: paid 2"])
    }).pipe(withScript([
      calls({ name: "pay", arguments: { amount: 1 } }),
      calls({ name: "pay", arguments: { amount: 2 } }),
      says("done")
    ])))

  it.effect("refuses answers to calls that are not open (B1)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      const refuse = (input: Turn.Input, options: Turn.Options = { toolSet }) =>
        Effect.map(
          Effect.flip(chat.chat(input, options)),
          (error) => [error._tag, "code" in error ? error.code : undefined]
        )
      assert.deepStrictEqual(yield* refuse(Turn.respond([])), ["InvalidRequestError", undefined])
      yield* chat.chat("Go", { toolSet })
      const [open] = yield* chat.openCalls
      const answer = { callId: open?.callId ?? "", approved: true }
      assert.deepStrictEqual(yield* refuse(Turn.respond([{ callId: "turn_x_0_0", approved: true }])), [
        "InvalidRequestError",
        "call_unknown"
      ])
      const unknown = yield* Effect.flip(chat.chat(Turn.respond([{ callId: "call_1", approved: true }]), { toolSet }))
      assert.include(unknown.message, `The ids of its open calls are "${open?.callId}"`)
      assert.deepStrictEqual(yield* refuse(Turn.respond([answer, answer])), ["InvalidRequestError", undefined])
      assert.deepStrictEqual(yield* refuse(Turn.respond([answer]), {}), ["InvalidRequestError", undefined])
      yield* chat.chat(Turn.respond([answer]), { toolSet })
      assert.deepStrictEqual(yield* refuse(Turn.respond([answer])), ["InvalidRequestError", "call_settled"])
      assert.lengthOf(paid, 1)
    }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), says("done")])))

  it.effect("refuses to approve a call that needs a result, and accepts its denial", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(echo())
      const tools = [CallOptions.tool({ name: "ask_user", parameters: Schema.Struct({}) })]
      yield* chat.chat("Go", { toolSet, tools })
      const callId = (yield* chat.openCalls)[0]?.callId ?? ""
      const failure = yield* Effect.flip(chat.chat(Turn.respond([{ callId, approved: true }]), { toolSet, tools }))
      assert.strictEqual(failure._tag, "InvalidRequestError")
      assert.lengthOf(yield* chat.openCalls, 1)
      const done = yield* chat.chat(Turn.respond([{ callId, approved: false, reason: "no user" }]), { toolSet, tools })
      assert.strictEqual(done.text, "done")
      assert.deepStrictEqual(outcomes(yield* chat.history), ["denied"])
      assert.include(sent((yield* requests)[1]).at(-1), "denied (no user)")
    }).pipe(withScript([calls({ name: "ask_user" }), says("done")])))

  it.effect("runs a call once if it is answered twice concurrently (B6)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      yield* chat.chat("Go", { toolSet })
      const [open] = yield* chat.openCalls
      const answer = Turn.respond([{ callId: open?.callId ?? "", approved: true }])
      const both = Effect.all([chat.chat(answer, { toolSet }), chat.chat(answer, { toolSet })].map(Effect.either), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual((yield* both).map(({ _tag }) => _tag), ["Right", "Left"])
      assert.lengthOf(paid, 1)
    }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), says("done")])))

  it.effect("reports a removed tool to the model, and continues (B8)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      yield* chat.chat("Go", { toolSet: yield* setOf(pay()) })
      const [open] = yield* chat.openCalls
      const toolSet = yield* setOf(echo())
      const done = yield* chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), { toolSet })
      assert.strictEqual(done.text, "done")
      assert.include(sent((yield* requests)[1]).at(-1), "does not exist")
    }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), says("done")])))

  it.effect("decodes the arguments again before a handler runs (B1)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      yield* chat.chat("Go", { toolSet: yield* setOf(pay()) })
      const [open] = yield* chat.openCalls
      let runs = 0
      const changed = Tool.make({
        name: "pay",
        parameters: { euros: Schema.Number },
        handler: () => Effect.sync(() => ++runs)
      })
      const done = yield* chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), {
        toolSet: yield* setOf(changed)
      })
      assert.strictEqual(done.text, "done")
      assert.strictEqual(runs, 0)
    }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), says("done")])))

  it.effect("keeps its results if the next request fails, and can then continue without answers", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      yield* chat.chat("Go", { toolSet })
      const [open] = yield* chat.openCalls
      const failure = yield* Effect.flip(
        chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), { toolSet })
      )
      assert.strictEqual(failure._tag, "ServerError")
      assert.deepStrictEqual(lines(yield* chat.history).slice(3), ["tool: paid 1"])
      assert.strictEqual((yield* chat.chat(Turn.respond([]), { toolSet })).text, "done")
      assert.lengthOf(paid, 1)
    }).pipe(withScript([
      calls({ name: "pay", arguments: { amount: 1 } }),
      ScriptedHttpClient.error(500, "down"),
      says("done")
    ])))

  it.effect("sends the same results again after onFailure kept an empty answer", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ onFailure: "keep" })
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      yield* chat.chat("Go", { toolSet })
      const [open] = yield* chat.openCalls
      yield* Effect.flip(chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), { toolSet }))
      assert.lengthOf(yield* chat.openCalls, 0)

      assert.strictEqual((yield* chat.chat(Turn.respond([]), { toolSet })).text, "done")
      assert.deepStrictEqual(lines(yield* chat.history).slice(3), ["tool: paid 1", "assistant: done"])
      assert.lengthOf(paid, 1)
      const error = yield* Effect.flip(chat.chat(Turn.respond([]), { toolSet }))
      assert.strictEqual(error.message, "The conversation has no open calls")
    }).pipe(withScript([
      calls({ name: "pay", arguments: { amount: 1 } }),
      ScriptedHttpClient.error(500, "down"),
      says("done")
    ])))

  it.effect("denies an equal call after the denial of an open call", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      yield* chat.chat("Go", { toolSet })
      const [open] = yield* chat.openCalls
      const done = yield* chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: false }]), { toolSet })
      assert.strictEqual(done.text, "done")
      assert.deepStrictEqual(done.steps?.map(({ toolCalls }) => toolCalls[0]?.outcome), ["denied", "denied", undefined])
      assert.include(done.steps?.[1]?.toolCalls[0]?.result, "an equal call was denied in this turn")
      assert.deepStrictEqual([paid, yield* chat.openCalls], [[], []])
    }).pipe(withScript([
      calls({ name: "pay", arguments: { amount: 1 } }),
      calls({ name: "pay", arguments: "{ \"amount\": 1 }" }),
      says("done")
    ])))

  it.effect("ends the steps at the third equal call in a row, even if each continuation ran one of them", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid))
      const approve = Effect.flatMap(
        chat.openCalls,
        (open) => chat.chat(Turn.respond(open.map(({ callId }) => ({ callId, approved: true }))), { toolSet })
      )
      yield* chat.chat("Go", { toolSet })

      const second = yield* approve
      const done = yield* approve

      assert.strictEqual(second.stepLimit, undefined)
      assert.deepStrictEqual([done.text, done.stepLimit], ["I am stuck", "repeatedCall"])
      assert.deepStrictEqual(done.steps?.map(({ toolCalls }) => toolCalls[0]?.outcome), [
        "success",
        "success",
        "repeated",
        undefined
      ])
      assert.lengthOf(paid, 2)
      assert.deepStrictEqual((yield* requests).map((request) => member(request, "tool_choice")), [
        undefined,
        undefined,
        undefined,
        "none"
      ])
    }).pipe(withScript([
      calls({ name: "pay", arguments: { amount: 1 } }),
      calls({ name: "pay", arguments: { amount: 1 } }),
      calls({ name: "pay", arguments: { amount: 1 } }),
      says("I am stuck")
    ])))
})

describe("open calls are settled", () => {
  for (const form of forms) {
    it.effect(`as superseded by a new turn, in a write of their own (${form}, B9)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const paid: Array<string> = []
        const toolSet = yield* setOf(pay(paid), echo())
        yield* respond(chat, form, "Go", { toolSet })
        const [open] = yield* chat.openCalls

        yield* respond(chat, form, "Never mind", {})

        const history = yield* chat.history
        assert.isTrue(isPaired(history))
        assert.deepStrictEqual(
          history.flatMap((message) => message.role === "tool" ? [message.outcome] : []),
          ["success", "superseded", "superseded"]
        )
        assert.deepStrictEqual(yield* chat.openCalls, [])
        const late = chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), { toolSet })
        const failure = yield* Effect.flip(late)
        assert.strictEqual("code" in failure ? failure.code : "", "call_settled")
        assert.lengthOf(paid, 0)
        assert.strictEqual(yield* chat.rewind(1), 1)
        assert.deepStrictEqual(yield* chat.openCalls, [])
      }).pipe(withScript([twoPayments, says("fine"), says("done")])))
  }

  it.effect("with the results at the beginning of a new prompt, and the others as superseded", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(pay(), echo())
      const { toolCalls } = yield* chat.chat("Go", { toolSet })
      const done = yield* chat.chat([ChatMessage.toolResult(toolCalls[0]?.id ?? "", "by hand")], { toolSet })
      assert.strictEqual(done.text, "done")
      const history = yield* chat.history
      assert.isTrue(isPaired(history))
      assert.deepStrictEqual(outcomes(history), ["success", "superseded", undefined])
    }).pipe(withScript([twoPayments, says("done")])))

  it.effect("if the new turn has calls with the same ids (B9)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(pay(), echo())
      yield* chat.chat("Go", { toolSet })
      yield* chat.chat("Never mind", { toolSet })
      const history = yield* chat.history
      assert.isTrue(isPaired(history))
      assert.deepStrictEqual(outcomes(history), ["superseded", "success"])
      assert.deepStrictEqual(sent((yield* requests)[2]).slice(-3), [
        "user: Never mind",
        "assistant: null",
        "tool: echo "
      ])
    }).pipe(withScript([calls({ name: "pay", arguments: { amount: 1 } }), calls({ name: "echo" }), says("fine")])))

  it.effect("with events before Finish, but not if the new turn fails (B9)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(pay(), echo())
      yield* chat.chat("Go", { toolSet })
      yield* Effect.flip(chat.chat("Never mind"))
      assert.lengthOf(yield* chat.openCalls, 2)
      assert.deepStrictEqual(tags(yield* eventsOf(chat, "Never mind", {})), [
        "ToolResult pay superseded",
        "ToolResult pay superseded",
        "Finish stop"
      ])
    }).pipe(withScript([twoPayments, ScriptedHttpClient.error(400, "no"), says("fine")])))

  for (const how of ["stop", "stopAll", "rewind", "clearHistory"] as const) {
    it.effect(`by ${how} (B13)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const paid: Array<string> = []
        const toolSet = yield* setOf(pay(paid), echo())
        yield* chat.chat("Go", { toolSet })
        const [open] = yield* chat.openCalls
        yield* how === "rewind" ? chat.rewind() : chat[how]
        assert.deepStrictEqual(yield* chat.openCalls, [])
        assert.isTrue(isPaired(yield* chat.history))
        yield* Effect.flip(chat.chat(Turn.respond([{ callId: open?.callId ?? "", approved: true }]), { toolSet }))
        assert.lengthOf(paid, 0)
        assert.strictEqual((yield* chat.chat("Next")).text, "done")
      }).pipe(withScript([twoPayments, says("done")])))
  }

  it.effect("by a stop while they run, and finished results are kept (B13)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const go = yield* Deferred.make<void>()
      const hold = Tool.make({
        name: "pay",
        parameters: { amount: Schema.Number },
        needsApproval: true,
        handler: ({ amount }) => amount === 1 ? Effect.succeed("paid 1") : Effect.interruptible(Deferred.await(go))
      })
      const toolSet = yield* setOf(hold, echo())
      yield* chat.chat("Go", { toolSet })
      const answers = (yield* chat.openCalls).map(({ callId }) => ({ callId, approved: true }))
      const turn = yield* Effect.fork(chat.chat(Turn.respond(answers), { toolSet }))
      yield* TestClock.adjust(0)
      yield* chat.stop
      assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
      assert.deepStrictEqual(
        (yield* chat.history).flatMap((message) => message.role === "tool" ? [message.outcome] : []),
        ["success", "success", "unknown"]
      )
    }).pipe(withScript([twoPayments])))

  for (const onInterrupt of ["keep", "rollback"] as const) {
    it.effect(`by a stop while other calls run (${onInterrupt}, B13)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat({ onInterrupt })
        const toolSet = yield* setOf(waits, echo())
        yield* chat.chat("Go", { toolSet })
        const [first] = yield* chat.openCalls
        const turn = yield* Effect.fork(
          chat.chat(Turn.respond([{ callId: first?.callId ?? "", approved: true }]), { toolSet })
        )
        yield* TestClock.adjust(0)
        yield* chat.stop
        yield* Fiber.join(turn)
        assert.deepStrictEqual(outcomes(yield* chat.history), ["unknown", "success", "notStarted"])
        assert.deepStrictEqual(yield* chat.openCalls, [])
        assert.strictEqual((yield* chat.chat("Next")).text, "done")
      }).pipe(withScript([twoPayments, says("done")])))

    it.effect(`by a stop of a new turn (${onInterrupt}, B13)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat({ onInterrupt })
        yield* chat.chat("Go", { toolSet: yield* setOf(pay(), echo()) })
        const turn = yield* Effect.fork(chat.chat("Never mind"))
        yield* TestClock.adjust(0)
        yield* chat.stop
        yield* Fiber.join(turn)
        const settled = onInterrupt === "keep" ? "superseded" : "notStarted"
        assert.deepStrictEqual(outcomes(yield* chat.history), ["success", settled, settled])
      }).pipe(withScript([twoPayments, ScriptedHttpClient.delayed("1 hour", says("late"))])))
  }

  it.effect("by a stop, before queued answers to them are applied (B13)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ onInterrupt: "rollback" })
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid), echo())
      yield* chat.chat("Go", { toolSet })
      const [first] = yield* chat.openCalls
      const turn = yield* Effect.fork(chat.chat("Never mind"))
      yield* TestClock.adjust(0)
      const late = yield* Effect.fork(
        Effect.flip(chat.chat(Turn.respond([{ callId: first?.callId ?? "", approved: true }]), { toolSet }))
      )
      yield* TestClock.adjust(0)
      yield* chat.stop
      yield* Fiber.join(turn)
      const failure = yield* Fiber.join(late)
      assert.strictEqual("code" in failure ? failure.code : "", "call_settled")
      assert.lengthOf(paid, 0)
    }).pipe(withScript([twoPayments, ScriptedHttpClient.delayed("1 hour", says("late"))])))

  it.effect("if they were answered when the turn is interrupted with rollback, and the others stay open", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ onInterrupt: "rollback" })
      const slow = Tool.make({
        name: "echo",
        parameters: { text: Schema.optional(Schema.String) },
        needsApproval: true,
        handler: () => Effect.never
      })
      const toolSet = yield* setOf(pay(), slow)
      yield* chat.chat("Go", { toolSet })
      const [first, second, third] = (yield* chat.openCalls).map(({ callId }) => callId)
      const answers = [first, second].map((callId = "") => ({ callId, approved: true }))
      const turn = yield* Effect.fork(chat.chat(Turn.respond(answers), { toolSet }))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(turn)
      assert.deepStrictEqual(outcomes(yield* chat.history), ["success", "unknown"])
      assert.deepStrictEqual((yield* chat.openCalls).map(({ callId }) => callId), [third])
      const done = yield* chat.chat(Turn.respond([{ callId: third ?? "", approved: false }]), { toolSet })
      assert.strictEqual(done.text, "done")
    }).pipe(withScript([twoPayments, says("done")])))

  it.effect("if they were answered when a handler fails the turn, and the others stay open", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const bad = Tool.make({
        name: "echo",
        parameters: {},
        needsApproval: true,
        failureMode: "error",
        handler: () => Effect.fail("no")
      })
      const toolSet = yield* setOf(pay(), bad)
      yield* chat.chat("Go", { toolSet })
      const answers = (yield* chat.openCalls).slice(0, 2).map(({ callId }) => ({ callId, approved: true }))
      const failure = yield* Effect.flip(chat.chat(Turn.respond(answers), { toolSet }))
      assert.strictEqual(failure._tag, "ToolError")
      assert.deepStrictEqual(outcomes(yield* chat.history), ["success", "failure"])
      assert.lengthOf(yield* chat.openCalls, 1)
    }).pipe(withScript([twoPayments])))
})

describe("open calls in a store", () => {
  /** A store to which other processes also write. */
  const Shared = Layer.effect(
    HistoryStore.HistoryStore,
    Effect.map(HistoryStore.HistoryStore, (store) => ({ ...store, isShared: true }))
  ).pipe(Layer.provide(HistoryStore.layerMemory))

  const process = Effect.map(
    ChatManager.make({ config: LLMConfig.make(options({ wire: { toolHistory: "calls" } })) }),
    (manager) => ({ manager, chat: manager.getChat("ada") })
  )

  it.scoped("can be answered in another process, which continues the turn (B3, B8)", () =>
    Effect.gen(function*() {
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid), echo())
      const first = yield* Effect.flatMap(process, ({ chat }) => chat)
      const waiting = yield* first.chat("Go", { toolSet })

      const second = yield* Effect.flatMap(process, ({ chat }) => chat)
      const open = yield* second.openCalls
      const done = yield* second.chat(Turn.respond(open.map(({ callId }) => ({ callId, approved: true }))), { toolSet })

      assert.strictEqual(done.text, "done")
      assert.strictEqual(done.turnId, waiting.turnId)
      assert.lengthOf(paid, 2)
      assert.deepStrictEqual(yield* first.openCalls, [])
      assert.strictEqual((yield* first.history).at(-1)?.content, "done")
    }).pipe(Effect.provide(Shared), withScript([twoPayments, says("done")])))

  for (const how of ["a question", "stop", "answers"] as const) {
    it.scoped(`are settled by ${how} without losing the summary if only the end of the history is loaded`, () =>
      Effect.gen(function*() {
        const store = yield* HistoryStore.HistoryStore
        const greetings = Array.from({ length: 40 }, (_, index) => ({
          turnId: `t${index}`,
          messages: [ChatMessage.user("Hi"), ChatMessage.assistant("Hello")]
        }))
        const summary = { text: "They greet each other.", replaces: 40 }
        yield* store.commit({ id: "ada", expected: { version: 0 }, turns: greetings, summary })
        const config = LLMConfig.make(options({ wire: { toolHistory: "calls" } }))
        const window = HistoryWindow.lastTurns(2)
        const chat = yield* Effect.flatMap(ChatManager.make({ config, window }), (manager) => manager.getChat("ada"))
        const toolSet = yield* setOf(pay(), echo())
        yield* chat.chat("Go", { toolSet })
        const answers = (yield* chat.openCalls).map(({ callId }) => ({ callId, approved: true }))
        assert.lengthOf(answers, 2)

        if (how === "stop") yield* chat.stop
        else yield* chat.chat(how === "answers" ? Turn.respond(answers) : "Never mind", { toolSet })

        const again = yield* Effect.flatMap(ChatManager.make({ config, window }), (manager) => manager.getChat("ada"))
        assert.isTrue(isPaired(yield* again.history))
        assert.deepStrictEqual(Option.getOrThrow(yield* store.load("ada")).summary, summary)
      }).pipe(Effect.provide(Shared), withScript([twoPayments, says("done")])))
  }

  it.scoped("run once if two processes answer them concurrently (B6)", () =>
    Effect.gen(function*() {
      const paid: Array<string> = []
      const toolSet = yield* setOf(pay(paid), echo())
      const first = yield* Effect.flatMap(process, ({ chat }) => chat)
      const second = yield* Effect.flatMap(process, ({ chat }) => chat)
      yield* first.chat("Go", { toolSet })
      const answers = (yield* second.openCalls).map(({ callId }) => ({ callId, approved: true }))
      const both = [first, second].map((chat) => Effect.either(chat.chat(Turn.respond(answers), { toolSet })))
      const outcomes = yield* Effect.all(both, { concurrency: "unbounded" })
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag).sort(), ["Left", "Right"])
      assert.lengthOf(paid, 2)
      assert.isTrue(isPaired(yield* first.history))
    }).pipe(Effect.provide(Shared), withScript([twoPayments, says("done")])))

  it.scoped("have an unknown outcome if the process ends while their handlers run (B6)", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const first = yield* Effect.flatMap(process, ({ chat }) => chat)
      const slow = Tool.make({
        name: "pay",
        parameters: { amount: Schema.Number },
        needsApproval: true,
        handler: () => Effect.never
      })
      const toolSet = yield* setOf(slow, echo())
      yield* first.chat("Go", { toolSet })
      const answers = (yield* first.openCalls).map(({ callId }) => ({ callId, approved: true }))
      yield* Effect.fork(first.chat(Turn.respond(answers), { toolSet }))
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* store.version("ada")).version, 2)

      const second = yield* Effect.flatMap(process, ({ chat }) => chat)
      const history = yield* second.history
      assert.isTrue(isPaired(history))
      assert.deepStrictEqual(
        history.flatMap((message) => message.role === "tool" ? [message.outcome] : []),
        ["unknown", "success", "unknown"]
      )
      assert.strictEqual((yield* second.chat("Next")).text, "done")
    }).pipe(Effect.provide(Shared), withScript([twoPayments, says("done")])))

  it.scoped("can be answered with start, which continues the turn", () =>
    Effect.gen(function*() {
      const toolSet = yield* setOf(pay(), echo())
      const { chat: get } = yield* process
      const chat = yield* get
      const waiting = yield* chat.chat("Go", { toolSet })
      const answers = (yield* chat.openCalls).map(({ callId }) => ({ callId, approved: true }))
      const turnId = yield* chat.start(Turn.respond(answers), { toolSet })
      assert.strictEqual(turnId, waiting.turnId)
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* chat.history).at(-1)?.content, "done")
    }).pipe(Effect.provide(Shared), withScript([twoPayments, says("done")])))
})
