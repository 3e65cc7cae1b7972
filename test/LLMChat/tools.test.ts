/**
 * Turns with tools, which have steps until the model answers without calls. Marks such as `A5` and `B3` number the cases.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Schema, Stream, TestClock } from "effect"
import {
  CallOptions,
  ChatCompletions,
  ChatEvent,
  ChatManager,
  ChatMessage,
  Fallback,
  HistoryWindow,
  LLMChat,
  Provider,
  Tool,
  ToolSet
} from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { held, lines, nothing, options, requests, sent, usage, withScript } from "../support/chats.ts"
import {
  calls,
  echo,
  eventsOf,
  isPaired,
  makeChat,
  member,
  pay,
  respond,
  says,
  setOf,
  tags,
  tool
} from "../support/tools.ts"

const { delayed, error, toolCalls, tokens } = ScriptedHttpClient

const forms = ["complete", "streamed"] as const

describe("a turn with tools", () => {
  for (const form of forms) {
    it.effect(`runs the calls of each step until an answer has none, and is one turn (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const toolSet = yield* setOf(tool("one", Effect.succeed("1")), tool("two", Effect.succeed({ two: 2 })))

        const response = yield* respond(chat, form, "Go", { toolSet })

        assert.strictEqual(response.text, "done")
        assert.deepStrictEqual(lines(yield* chat.history), [
          "system: S",
          "user: Go",
          "assistant: ",
          "tool: 1",
          "tool: {\"two\":2}",
          "assistant: ",
          "tool: 1",
          "assistant: done"
        ])
        assert.deepStrictEqual((yield* requests).map((request) => sent(request).length), [2, 5, 7])
        assert.strictEqual(yield* chat.rewind(9), 1)
        assert.deepStrictEqual(yield* Effect.zipRight(TestClock.adjust(0), held), nothing)
      }).pipe(withScript([calls({ name: "one" }, { name: "two" }), calls({ name: "one" }), says("done")])))

    it.effect(`reports each step and the total usage (${form}, A14)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const toolSet = yield* setOf(echo())

        const response = yield* respond(chat, form, "Go", { toolSet })

        assert.strictEqual(response.usage?.totalTokens, 7 + 20)
        assert.strictEqual((yield* chat.usage).totalTokens, 27)
        const [first, last] = response.steps ?? []
        assert.deepStrictEqual([first?.usage?.inputTokens, last?.usage?.inputTokens], [5, 18])
        assert.deepStrictEqual(first?.toolCalls, [{
          callId: `${response.turnId}_0_0`,
          name: "echo",
          arguments: "{\"text\":\"hi\"}",
          outcome: "success",
          result: "echo hi"
        }])
        assert.deepStrictEqual(last?.toolCalls, [])
        assert.strictEqual(response.stepLimit, undefined)
      }).pipe(withScript([
        toolCalls([{ name: "echo", arguments: { text: "hi" } }], { usage: usage(5, 2) }),
        tokens(["done"], { usage: usage(18, 2) })
      ])))

    it.scoped(`passes the conversation, turn, step and call to each handler (${form})`, () =>
      Effect.gen(function*() {
        const seen: Array<Tool.Context> = []
        const toolSet = yield* setOf(Tool.make({
          name: "f",
          parameters: {},
          handler: (_input, context) => Effect.sync(() => seen.push(context))
        }))
        const conversation = "ada"
        const manager = yield* ChatManager.make({ config: options({ wire: { toolHistory: "calls" } }) })
        const chat = yield* manager.getChat(conversation)
        const { turnId = "" } = yield* respond(chat, form, "Go", { toolSet })
        assert.deepStrictEqual(seen, [
          { conversation, turnId, step: 0, callId: `${turnId}_0_0` },
          { conversation, turnId, step: 0, callId: `${turnId}_0_1` },
          { conversation, turnId, step: 1, callId: `${turnId}_1_0` }
        ])
      }).pipe(withScript([calls({ name: "f" }, { name: "f" }), calls({ name: "f" }), says("done")])))
  }

  it.effect("emits the events of its tools while they run, and one Finish", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const go = yield* Deferred.make<void>()
      const toolSet = yield* setOf(tool("slow", Deferred.await(go)), tool("fast", Effect.succeed("")))
      const seen: Array<ChatEvent.ChatEvent> = []
      const turn = yield* Effect.fork(
        Stream.runForEach(chat.chatEvents("Go", { toolSet }), (event) => Effect.sync(() => seen.push(event)))
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(tags(seen), ["ToolStart slow", "ToolStart fast", "ToolResult fast success"])
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(turn)

      assert.deepStrictEqual(tags(seen).slice(3), [
        "ToolResult slow success",
        "StepFinish 0",
        "StepFinish 1",
        "Finish stop"
      ])
      assert.deepStrictEqual(
        seen.filter(({ _tag }) => _tag === "Begin" || _tag === "TextDelta").map(({ _tag }) => _tag),
        ["Begin", "Begin", "TextDelta"]
      )
      assert.deepStrictEqual(
        yield* Schema.decodeUnknown(Schema.Array(Schema.typeSchema(ChatEvent.ChatEvent)))(seen),
        seen
      )
    }).pipe(withScript([calls({ name: "slow" }, { name: "fast" }), says("done")])))

  it.effect("streams the texts of all steps", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(echo())
      const texts = yield* Stream.runCollect(chat.chatStream("Go", { toolSet }))
      assert.deepStrictEqual(Array.from(texts), ["Let me ", "look.", "do", "ne"])
      assert.deepStrictEqual(lines(yield* chat.history).slice(2), [
        "assistant: Let me look.",
        "tool: echo hi",
        "assistant: done"
      ])
    }).pipe(withScript([
      ScriptedHttpClient.sse([
        { choices: [{ index: 0, delta: { content: "Let me " } }] },
        { choices: [{ index: 0, delta: { content: "look." } }] },
        {
          choices: [{
            index: 0,
            delta: { tool_calls: [{ index: 0, id: "c", function: { name: "echo", arguments: "{\"text\":\"hi\"}" } }] },
            finish_reason: "tool_calls"
          }]
        },
        "[DONE]"
      ]),
      tokens(["do", "ne"])
    ])))

  it.effect("sends the results in the order of the calls, each with the id of its call (A5)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(
        tool("slow", Effect.delay(Effect.succeed("slow"), "2 seconds")),
        tool("fast", Effect.succeed("fast"))
      )
      const turn = yield* Effect.fork(chat.chat("Go", { toolSet }))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(turn)
      const messages = member((yield* requests)[1], "messages")
      assert.deepStrictEqual(Array.isArray(messages) ? messages.slice(3) : [], [
        { role: "tool", tool_call_id: "call_0", content: "slow" },
        { role: "tool", tool_call_id: "call_1", content: "fast" }
      ])
    }).pipe(withScript([calls({ name: "slow" }, { name: "fast" }), says("done")])))

  it.effect("runs at most toolConcurrency handlers at once", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      let running = 0
      let most = 0
      const toolSet = yield* setOf(tool(
        "f",
        Effect.acquireUseRelease(
          Effect.sync(() => most = Math.max(most, ++running)),
          () => Effect.sleep("1 second"),
          () => Effect.sync(() => running--)
        )
      ))
      const turn = yield* Effect.fork(chat.chat("Go", { toolSet, toolConcurrency: 2 }))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(turn)
      assert.strictEqual(most, 2)
    }).pipe(withScript([calls({ name: "f" }, { name: "f" }, { name: "f" }), says("done")])))
})

describe("the requests of a turn with tools", () => {
  it.effect("have a forced tool choice only in the first step (A1)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(echo())
      for (const toolChoice of ["required", { name: "echo" }] as const) yield* chat.chat("Go", { toolSet, toolChoice })
      const choices = (yield* requests).map((request) => member(request, "tool_choice"))
      assert.deepStrictEqual(choices, [
        "required",
        undefined,
        { type: "function", function: { name: "echo" } },
        undefined
      ])
    }).pipe(withScript([calls({ name: "echo" }), says("done"), calls({ name: "echo" }), says("done")])))

  it.effect("have tool_choice none in the last step, and the response reports the limit (A1, A3)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const seen: Array<string> = []
      const toolSet = yield* setOf(echo(seen))
      const response = yield* chat.chat("Go", { toolSet, maxSteps: 2 })
      assert.strictEqual(response.text, "enough")
      assert.strictEqual(response.stepLimit, "maxSteps")
      assert.lengthOf(seen, 2)
      const last = (yield* requests)[2]
      assert.strictEqual(member(last, "tool_choice"), "none")
      assert.lengthOf(member(last, "tools") as Array<unknown>, 1)
      assert.lengthOf(yield* requests, 3)
    }).pipe(withScript([
      calls({ name: "echo", arguments: { text: "1" } }),
      calls({ name: "echo", arguments: { text: "2" } }),
      says("enough")
    ])))

  it.effect("are at most eleven by default, even if the model calls tools in the last one", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const seen: Array<string> = []
      const toolSet = yield* setOf(echo(seen))
      const response = yield* chat.chat("Go", { toolSet })
      assert.lengthOf(yield* requests, 11)
      assert.lengthOf(seen, 10)
      assert.strictEqual(response.stepLimit, "maxSteps")
      assert.isTrue(isPaired(yield* chat.history))
    }).pipe(withScript((_request, index) => calls({ name: "echo", arguments: { text: `${index}` } }))))

  it.effect("add the finished steps to the error if the last one fails (A3)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(echo())
      const failure = yield* Effect.flip(chat.chat("Go", { toolSet, maxSteps: 1 }))
      assert.strictEqual(failure._tag, "ServerError")
      assert.strictEqual(failure.partial?.steps?.[0]?.toolCalls[0]?.result, "echo ")
      assert.lengthOf(yield* chat.history, 1)
    }).pipe(withScript([calls({ name: "echo" }), error(500, "down")])))

  it.effect("offer tools without handlers in addition to the set, and calls of them end the turn", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(echo())
      const tools = [CallOptions.tool({ name: "ask_user", parameters: Schema.Struct({}) })]
      const response = yield* chat.chat("Go", { toolSet, tools })
      assert.lengthOf(member((yield* requests)[0], "tools") as Array<unknown>, 2)
      assert.strictEqual(response.finishReason, "tool-calls")
      const [open] = yield* chat.openCalls
      assert.deepStrictEqual([open?.name, open?.needsApproval], ["ask_user", false])

      const next = yield* chat.chat(ChatMessage.toolResult(response.toolCalls[1]?.id ?? "", "blue"), { toolSet, tools })

      assert.strictEqual(next.text, "done")
      assert.deepStrictEqual(sent((yield* requests)[1]).slice(3), ["tool: echo ", "tool: blue"])
    }).pipe(withScript([calls({ name: "echo" }, { name: "ask_user" }), says("done")])))

  for (const form of forms) {
    it.effect(`continue after calls, whatever finish reason the server reports (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const runs: Array<string> = []
        const toolSet = yield* setOf(echo(runs))
        const response = yield* respond(chat, form, "Go", { toolSet })
        assert.strictEqual(response.text, "done")
        assert.lengthOf(runs, 1)
        assert.lengthOf(yield* requests, 2)
      }).pipe(withScript([
        toolCalls([{ name: "echo" }], { finishReason: "stop" }),
        tokens(["done"], { finishReason: "tool_calls" }),
        says("too late")
      ])))
  }

  it.effect("read a dynamic set once in each step", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      let reads = 0
      const toolSet = yield* ToolSet.dynamic(Effect.sync(() => [tool(`tool_${++reads}`, Effect.succeed("ok"))]))
      const response = yield* chat.chat("Go", { toolSet })
      assert.strictEqual(reads, 2)
      assert.strictEqual(response.steps?.[0]?.toolCalls[0]?.outcome, "success")
    }).pipe(withScript([calls({ name: "tool_1" }), says("done")])))

  it.effect("have the messages that the window selects before each step, and fewer after a context overflow (A9)", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.withShrink(HistoryWindow.lastTurns(5))
      const chat = yield* makeChat({}, { window })
      const runs: Array<string> = []
      const toolSet = yield* setOf(echo(runs))
      for (const prompt of ["one", "two", "three"]) yield* chat.chat(prompt)
      const response = yield* chat.chat("Go", { toolSet })
      assert.strictEqual(response.text, "done")
      assert.lengthOf(runs, 1)
      const [large, small] = (yield* requests).slice(-2)
      assert.isAbove(sent(large).length, sent(small).length)
      assert.deepStrictEqual(sent(small).slice(-3), ["user: Go", "assistant: null", "tool: echo "])
    }).pipe(withScript([
      says("1"),
      says("2"),
      says("3"),
      calls({ name: "echo" }),
      error(400, "too long", { code: "context_length_exceeded" }),
      says("done")
    ])))

  it.effect("are retried and sent to a fallback without running a handler again (A8)", () =>
    Effect.gen(function*() {
      const fallback = Fallback.make({ configs: [options({ baseUrl: "http://other.test/v1" })] })
      const chat = yield* makeChat({ maxRetries: 1 }, { fallback })
      const runs: Array<string> = []
      const toolSet = yield* setOf(echo(runs))
      const turn = yield* Effect.fork(chat.chat("Go", { toolSet }))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(turn)).text, "done")
      assert.lengthOf(runs, 1)
      assert.lengthOf(yield* requests, 4)
    }).pipe(withScript([calls({ name: "echo" }), error(500, "down"), error(500, "down"), says("done")])))

  it.effect("contain the reasoning of earlier steps if the config requires it (A14)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ wire: { toolHistory: "calls", reasoningEcho: "reasoning_content" } })
      const toolSet = yield* setOf(echo())
      yield* chat.chat("Go", { toolSet })
      const messages = member((yield* requests)[1], "messages") as Array<Record<string, unknown>>
      assert.strictEqual(messages[2]?.["reasoning_content"], "hm")
    }).pipe(withScript([
      ScriptedHttpClient.json({
        choices: [{
          index: 0,
          message: {
            role: "assistant",
            content: null,
            reasoning_content: "hm",
            tool_calls: [{ id: "c", type: "function", function: { name: "echo", arguments: "{}" } }]
          },
          finish_reason: "tool_calls"
        }]
      }),
      says("done")
    ])))

  it.effect("share the total time limit of the turn", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ totalTimeout: "5 seconds" })
      const toolSet = yield* setOf(tool("slow", Effect.sleep("4 seconds")))
      const turn = yield* Effect.fork(Effect.flip(chat.chat("Go", { toolSet })))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(turn))._tag, "TimeoutError")
    }).pipe(withScript([calls({ name: "slow" }), delayed("4 seconds", says("done"))])))
})

describe("the total time limit of a turn with approvals", () => {
  it.effect("includes the time of handlers, and fails the next request", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ totalTimeout: "1 minute" })
      const toolSet = yield* setOf(tool("slow", Effect.sleep("2 minutes")))
      const turn = yield* Effect.fork(Effect.flip(chat.chat("Go", { toolSet, approve: () => Effect.succeed(true) })))
      yield* TestClock.adjust("2 minutes")
      const failure = yield* Fiber.join(turn)
      assert.strictEqual(failure._tag, "TimeoutError")
      assert.lengthOf(yield* requests, 1)
    }).pipe(withScript([calls({ name: "slow" }), says("done")])))
})

describe("the results of a turn's tools", () => {
  it.effect("report an invalid call to the model, and the turn continues (A11, A13)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(echo())
      const { steps } = yield* chat.chat("Go", { toolSet })
      assert.deepStrictEqual(steps?.[0]?.toolCalls.map(({ outcome }) => outcome), [
        "invalidArguments",
        "unknownTool",
        "success",
        "success"
      ])
      const [first, second] = steps?.[0]?.toolCalls ?? []
      assert.include(first?.result, "text")
      assert.include(second?.result, "does not exist. The tools are: echo.")
      assert.deepStrictEqual(sent((yield* requests)[1]).slice(-2), ["tool: echo ", "tool: echo twice"])
    }).pipe(withScript([
      calls(
        { name: "echo", arguments: { text: 1 } },
        { name: "invented", arguments: {} },
        { name: "echo", arguments: " " },
        { name: "echo", arguments: "\"{\\\"text\\\":\\\"twice\\\"}\"" }
      ),
      says("done")
    ])))

  it.effect("send images as parts after all results, and never as text (A10)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const image = ChatMessage.imageData(new Uint8Array(3000).fill(7), "image/png")
      const toolSet = yield* setOf(tool("look", Effect.succeed(Tool.content([image]))), echo())
      yield* chat.chat("Go", { toolSet })
      const messages = member((yield* requests)[1], "messages") as Array<{ role: string; content: unknown }>
      assert.deepStrictEqual(messages.map(({ role }) => role), ["system", "user", "assistant", "tool", "tool", "user"])
      assert.deepStrictEqual(messages[5]?.content, [
        { type: "text", text: "The media of the result of look (call_0):" },
        { type: "image_url", image_url: { url: image.url } }
      ])
      for (const { content, role } of messages) if (role === "tool") assert.isBelow(String(content).length, 100)
      assert.strictEqual((yield* chat.history).filter(({ role }) => role === "user").length, 1)
    }).pipe(withScript([calls({ name: "look" }, { name: "echo" }), says("done")])))

  it.effect("are truncated in the event, the history and the request (A9)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(Tool.make({
        name: "big",
        parameters: {},
        maxResultLength: 60,
        handler: () => Effect.succeed("x".repeat(1_000_000))
      }))
      const events = yield* eventsOf(chat, "Go", { toolSet })
      const result = events.find((event) => event._tag === "ToolResult")
      const text = result?._tag === "ToolResult" ? result.content : ""
      assert.include(text, "999940 of 1000000 characters were left out")
      assert.strictEqual((yield* chat.history).find(({ role }) => role === "tool")?.content, text)
      assert.strictEqual(sent((yield* requests)[1]).at(-1), `tool: ${text}`)
    }).pipe(withScript([calls({ name: "big" }), says("done")])))

  it.effect("have the outcome cutOff for a call that the token limit truncated, and the stored arguments are JSON (A12)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const runs: Array<string> = []
      const toolSet = yield* setOf(echo(runs))
      const { steps } = yield* chat.chat("Go", { toolSet })
      assert.deepStrictEqual(steps?.[0]?.toolCalls.map(({ outcome }) => outcome), ["success", "cutOff"])
      assert.lengthOf(runs, 1)
      const stored = (yield* chat.history).flatMap((message) =>
        message.role === "assistant" ? message.toolCalls ?? [] : []
      )
      assert.deepStrictEqual(stored.map((call): unknown => JSON.parse(call.arguments)), [{}, {}])
    }).pipe(withScript([
      toolCalls([{ name: "echo" }, { name: "echo", arguments: "{\"text\":\"rm -rf /tmp" }], { finishReason: "length" }),
      says("done")
    ])))

  it.effect("leave out the cut call of a tool without a handler, and run the complete call before it (A12)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const runs: Array<string> = []
      const toolSet = yield* setOf(echo(runs))
      const described = CallOptions.tool({ name: "ask_user", parameters: Schema.Struct({ question: Schema.String }) })
      const { steps, text } = yield* chat.chat("Go", { toolSet, tools: [described] })
      assert.strictEqual(text, "done")
      assert.deepStrictEqual(steps?.[0]?.toolCalls.map(({ outcome }) => outcome), ["success", "cutOff"])
      assert.lengthOf(runs, 1)
      assert.deepStrictEqual(yield* chat.openCalls, [])
    }).pipe(withScript([
      toolCalls([{ name: "echo" }, { name: "ask_user", arguments: "{\"question\":\"Del" }], { finishReason: "length" }),
      says("done")
    ])))

  it.effect("have the outcome cutOff even if the server reports tool_calls for a truncated call (A12)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ maxTokens: 8 })
      const toolSet = yield* setOf(echo())
      const { steps } = yield* chat.chat("Go", { toolSet })
      assert.strictEqual(steps?.[0]?.toolCalls[0]?.outcome, "cutOff")
    }).pipe(withScript([
      toolCalls([{ name: "echo", arguments: "{\"text\":\"a" }], { usage: usage(4, 8) }),
      says("done")
    ])))

  it.effect("end the steps at the third equal call in a row after equal results (A2)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const runs: Array<string> = []
      const toolSet = yield* setOf(echo(runs))
      const response = yield* chat.chat("Go", { toolSet })
      assert.lengthOf(runs, 2)
      assert.strictEqual(response.stepLimit, "repeatedCall")
      assert.strictEqual(response.steps?.[2]?.toolCalls[0]?.outcome, "repeated")
      assert.strictEqual(member((yield* requests)[3], "tool_choice"), "none")
    }).pipe(withScript([
      calls({ name: "echo", arguments: "{\"text\": \"a\"}" }),
      calls({ name: "echo", arguments: { text: "a" } }),
      calls({ name: "echo", arguments: { text: "a" } }),
      says("I am stuck")
    ])))

  it.effect("do not end the steps while they differ (A2)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      let polls = 0
      const toolSet = yield* setOf(tool("poll", Effect.sync(() => ++polls)))
      const response = yield* chat.chat("Go", { toolSet })
      assert.strictEqual(polls, 5)
      assert.strictEqual(response.stepLimit, undefined)
    }).pipe(withScript((_request, index) => index < 5 ? calls({ name: "poll" }) : says("done"))))

  it.effect("hide the failure of a handler if the tool has no Schema for it (A4)", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(tool("bad", Effect.fail("/etc/passwd")), echo())
      const { steps } = yield* chat.chat("Go", { toolSet })
      assert.deepStrictEqual(steps?.[0]?.toolCalls.map(({ outcome, result }) => [outcome, result]), [
        ["failure", "The tool failed."],
        ["success", "echo "]
      ])
      assert.deepStrictEqual(sent((yield* requests)[1]).slice(3), ["tool: The tool failed.", "tool: echo "])
    }).pipe(withScript([calls({ name: "bad" }, { name: "echo" }), says("done")])))

  it.effect("report the failure of a handler as the tool's Schema encodes it, without its other members (A4)", () =>
    Effect.gen(function*() {
      class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { days: Schema.NumberFromString }) {}
      const chat = yield* makeChat()
      const failure = Object.assign(new NotFound({ days: 3 }), { path: "/etc/passwd" })
      const plain = Schema.Struct({ city: Schema.String })
      const toolSet = yield* setOf(
        Tool.make({ name: "tagged", parameters: {}, failure: NotFound, handler: () => Effect.fail(failure) }),
        Tool.make({
          name: "plain",
          parameters: {},
          failure: plain,
          handler: () => Effect.fail({ city: "Paris", path: "/etc/passwd" })
        }),
        Tool.make({
          name: "wrong",
          parameters: {},
          failure: Schema.String.pipe(Schema.maxLength(3)),
          handler: () => Effect.fail("/etc/passwd")
        })
      )

      const { steps } = yield* chat.chat("Go", { toolSet })

      const reported = [
        "The tool failed with NotFound: {\"days\":\"3\",\"_tag\":\"NotFound\"}",
        "The tool failed with {\"city\":\"Paris\"}",
        "The tool failed."
      ]
      assert.deepStrictEqual(
        steps?.[0]?.toolCalls.map(({ outcome, result }) => [outcome, result]),
        reported.map((text) => ["failure", text])
      )
      assert.deepStrictEqual(sent((yield* requests)[1]).slice(3), reported.map((text) => `tool: ${text}`))
    }).pipe(withScript([calls({ name: "tagged" }, { name: "plain" }, { name: "wrong" }), says("done")])))
})

describe("the timeout of a tool", () => {
  const hung = {
    "cannot be interrupted": Effect.uninterruptible(Effect.never),
    "does not finish its finalizers": Effect.onInterrupt(Effect.never, () => Effect.never)
  }
  for (const [what, handler] of Object.entries(hung)) {
    it.effect(`does not wait longer than five seconds for a handler that ${what}`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const toolSet = yield* setOf(
          Tool.make({ name: "hung", parameters: {}, timeout: "10 seconds", handler: () => handler })
        )
        const turn = yield* Effect.fork(chat.chat("Go", { toolSet }))
        yield* TestClock.adjust("15 seconds")
        const { steps, text } = yield* Fiber.join(turn)
        assert.strictEqual(text, "done")
        assert.strictEqual(steps?.[0]?.toolCalls[0]?.outcome, "timeout")
      }).pipe(withScript([calls({ name: "hung" }), says("done")])))
  }

  it.effect("waits for the finalizers of its handler", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const log: Array<string> = []
      const handler = Effect.onInterrupt(
        Effect.never,
        () => Effect.delay(Effect.sync(() => log.push("end")), "1 second")
      )
      const toolSet = yield* setOf(
        Tool.make({ name: "f", parameters: {}, timeout: "1 second", handler: () => handler })
      )
      const turn = yield* Effect.fork(chat.chat("Go", { toolSet }))
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* requests, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(turn)).text, "done")
      assert.deepStrictEqual(log, ["end"])
    }).pipe(withScript([calls({ name: "f" }), says("done")])))
})

describe("a turn with failing tools", () => {
  const failing = Tool.make({
    name: "bad",
    parameters: {},
    failureMode: "error",
    handler: () => Effect.fail("no")
  })

  for (const form of forms) {
    it.effect(`fails with the failure of a tool with failureMode error, and leaves the history unchanged (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const toolSet = yield* setOf(failing)
        const failure = yield* Effect.flip(respond(chat, form, "Go", { toolSet }))
        assert.strictEqual(failure._tag, "ToolError")
        if (failure._tag === "ToolError") assert.deepStrictEqual([failure.tool, failure.cause], ["bad", "no"])
        assert.lengthOf(yield* chat.history, 1)
        assert.strictEqual((yield* chat.chat("Again")).text, "done")
        assert.deepStrictEqual(yield* Effect.zipRight(TestClock.adjust(0), held), nothing)
      }).pipe(withScript([calls({ name: "bad" }), says("done")])))

    it.effect(`keeps complete steps with onFailure keep (${form}, A6)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat({ onFailure: "keep" })
        const toolSet = yield* setOf(failing, tool("slow", Effect.never))
        yield* Effect.flip(respond(chat, form, "Go", { toolSet }))
        const history = yield* chat.history
        assert.isTrue(isPaired(history))
        assert.deepStrictEqual(
          history.flatMap((message) => message.role === "tool" ? [message.outcome] : []),
          ["failure", "unknown"]
        )
        const last = history.at(-1)
        assert.strictEqual(last?.role === "assistant" ? last.finishReason : "", "error")
      }).pipe(withScript([calls({ name: "bad" }, { name: "slow" })])))

    it.effect(`dies with the defect of a handler and leaves the history unchanged, with any onInterrupt (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat({ onInterrupt: "keep", onFailure: "keep" })
        const toolSet = yield* setOf(tool("bug", Effect.die("bug")))
        const exit = yield* Effect.exit(respond(chat, form, "Go", { toolSet }))
        assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
        assert.lengthOf(yield* chat.history, 1)
        assert.strictEqual((yield* chat.chat("Again")).text, "done")
        assert.deepStrictEqual(yield* Effect.zipRight(TestClock.adjust(0), held), nothing)
      }).pipe(withScript([calls({ name: "bug" }), says("done")])))
  }
})

describe("a stopped turn with tools", () => {
  const slow = (log: Array<string>) =>
    setOf(
      tool("fast", Effect.succeed("fast")),
      tool("slow", Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("finalized")))),
      tool("late", Effect.succeed("late"))
    )
  const script = [calls({ name: "fast" }, { name: "slow" }, { name: "late" }), says("done")]

  for (const form of forms) {
    for (const how of ["stop", "interrupt"] as const) {
      it.effect(`distinguishes calls that finished, were interrupted and did not start (${form}, ${how}, A6, A7)`, () =>
        Effect.gen(function*() {
          const chat = yield* makeChat()
          const log: Array<string> = []
          const toolSet = yield* slow(log)
          const turn = yield* Effect.fork(respond(chat, form, "Go", { toolSet, toolConcurrency: 1 }))
          yield* TestClock.adjust(0)

          yield* how === "stop" ? chat.stop : Fiber.interrupt(turn)

          const history = yield* chat.history
          assert.deepStrictEqual(log, ["finalized"])
          assert.deepStrictEqual(
            history.flatMap((message) => message.role === "tool" ? [message.outcome] : []),
            ["success", "unknown", "notStarted"]
          )
          assert.isTrue(isPaired(history))
          assert.strictEqual((yield* chat.chat("Again")).text, "done")
          assert.deepStrictEqual(yield* Effect.zipRight(TestClock.adjust(0), held), nothing)
          if (how === "stop") {
            const response = yield* Fiber.join(turn)
            assert.strictEqual(response.finishReason, "interrupted")
            assert.deepStrictEqual(response.steps?.[0]?.toolCalls.map(({ outcome }) => outcome), [
              "success",
              "unknown",
              "notStarted"
            ])
          }
        }).pipe(withScript(script)))
    }

    it.effect(`keeps the result of a handler that finishes during the stop (${form}, A7)`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const go = yield* Deferred.make<string>()
        const toolSet = yield* setOf(tool("f", Effect.uninterruptible(Deferred.await(go))))
        const turn = yield* Effect.fork(respond(chat, form, "Go", { toolSet }))
        yield* TestClock.adjust(0)
        yield* chat.stop
        yield* Deferred.succeed(go, "in time")
        yield* Fiber.join(turn)
        assert.deepStrictEqual(lines(yield* chat.history).slice(3), ["tool: in time", "assistant:  [interrupted]"])
      }).pipe(withScript([calls({ name: "f" })])))

    it.effect(`does not wait longer than five seconds for a handler that cannot be interrupted (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const toolSet = yield* setOf(tool("f", Effect.uninterruptible(Effect.never)))
        const turn = yield* Effect.fork(respond(chat, form, "Go", { toolSet }))
        yield* TestClock.adjust(0)
        yield* chat.stop
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
        assert.isTrue(isPaired(yield* chat.history))
      }).pipe(withScript([calls({ name: "f" })])))
  }

  it.effect("emits a result for each unfinished call before Finish", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const turn = yield* Effect.fork(eventsOf(chat, "Go", { toolSet: yield* slow([]), toolConcurrency: 1 }))
      yield* TestClock.adjust(0)
      yield* chat.stop
      assert.deepStrictEqual(tags(yield* Fiber.join(turn)), [
        "ToolStart fast",
        "ToolResult fast success",
        "ToolStart slow",
        "ToolResult slow unknown",
        "ToolResult late notStarted",
        "StepFinish 0",
        "Finish interrupted"
      ])
    }).pipe(withScript(script)))

  it.effect("emits the results that came while the consumer was busy", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const toolSet = yield* setOf(tool("fast", Effect.sleep("1 second")), tool("slow", Effect.never))
      const events = chat.chatEvents("Go", { toolSet }).pipe(
        Stream.tap((event) => event._tag === "ToolStart" ? Effect.sleep("10 seconds") : Effect.void)
      )
      const turn = yield* Effect.fork(Stream.runCollect(events))
      yield* TestClock.adjust("2 seconds")
      yield* chat.stop
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(tags(Chunk.toReadonlyArray(yield* Fiber.join(turn))), [
        "ToolStart fast",
        "ToolStart slow",
        "ToolResult fast success",
        "ToolResult slow unknown",
        "StepFinish 0",
        "Finish interrupted"
      ])
    }).pipe(withScript([calls({ name: "fast" }, { name: "slow" })])))

  it.effect("interrupts its handlers when the consumer stops reading", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      const log: Array<string> = []
      const toolSet = yield* slow(log)
      const events = chat.chatEvents("Go", { toolSet, toolConcurrency: 1 })
      yield* Stream.runDrain(Stream.takeUntil(events, (event) => event._tag === "ToolStart" && event.name === "slow"))
      assert.deepStrictEqual(log, ["finalized"])
      assert.isTrue(isPaired(yield* chat.history))
    }).pipe(withScript(script)))

  it.effect("keeps nothing with onInterrupt rollback", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ onInterrupt: "rollback" })
      const turn = yield* Effect.fork(chat.chat("Go", { toolSet: yield* slow([]) }))
      yield* TestClock.adjust(0)
      yield* chat.stop
      yield* Fiber.join(turn)
      assert.lengthOf(yield* chat.history, 1)
    }).pipe(withScript(script)))
})

describe("a Schema with tools", () => {
  const City = Schema.Struct({ city: Schema.String })

  for (const ask of ["chatObject", "askObject"] as const) {
    it.effect(`decodes the answer after the calls (${ask})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const value = yield* chat[ask]("Go", City, { toolSet: yield* setOf(echo()) })
        assert.deepStrictEqual(value, { city: "Paris" })
        assert.lengthOf(yield* requests, 2)
        assert.lengthOf(yield* chat.history, ask === "askObject" ? 1 : 5)
      }).pipe(withScript([calls({ name: "echo" }), says("{\"city\":\"Paris\"}")])))
  }

  it.effect("is sent in a last request without tools if the preset does not support both", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat({ wire: { toolHistory: "calls", toolsWithFormat: false } })
      const value = yield* chat.chatObject("Go", City, { toolSet: yield* setOf(echo()) })
      assert.deepStrictEqual(value, { city: "Paris" })
      const bodies = (yield* requests).map((request) => [
        member(request, "tools") !== undefined,
        member(request, "response_format") !== undefined
      ])
      assert.deepStrictEqual(bodies, [[true, false], [true, false], [false, true]])
    }).pipe(withScript([calls({ name: "echo" }), says("It is Paris."), says("{\"city\":\"Paris\"}")])))

  it("is not supported with tools by the presets of Groq and Gemini", () => {
    assert.deepStrictEqual([Provider.groq, Provider.gemini].map(({ wire }) => wire.toolsWithFormat), [false, false])
  })
})

describe("an ask call with tools", () => {
  it.effect("sends several requests, and neither reads nor writes the history", () =>
    Effect.gen(function*() {
      const chat = yield* makeChat()
      yield* chat.chat("Hello")
      const toolSet = yield* setOf(echo())
      const response = yield* chat.ask("Go", { toolSet })
      assert.strictEqual(response.text, "done")
      assert.strictEqual(response.turnId, undefined)
      assert.lengthOf(yield* chat.history, 3)
      assert.deepStrictEqual(sent((yield* requests)[1]), ["system: S", "user: Go"])
      const events = yield* Stream.runCollect(chat.askEvents("Go", { toolSet }))
      assert.deepStrictEqual(tags(Array.from(events)), [
        "ToolStart echo",
        "ToolResult echo success",
        "StepFinish 0",
        "StepFinish 1",
        "Finish stop"
      ])
    }).pipe(withScript([says("Hi"), calls({ name: "echo" }), says("done"), calls({ name: "echo" }), says("done")])))
})

describe("a turn with tools and a turnId", () => {
  for (const form of forms) {
    it.effect(`runs its handlers once if it is called twice, and derives the call ids from its id (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const runs: Array<string> = []
        const toolSet = yield* setOf(echo(runs))
        const first = yield* respond(chat, form, "Go", { toolSet, turnId: "m1" })
        const second = yield* respond(chat, form, "Go", { toolSet, turnId: "m1" })
        assert.deepStrictEqual([first.text, second.text], ["done", "done"])
        assert.deepStrictEqual(runs, ["m1_0_0"])
        assert.lengthOf(yield* requests, 2)
      }).pipe(withScript([calls({ name: "echo" }), says("done")])))

    it.effect(`emits the same events to callers that join while it runs (${form})`, () =>
      Effect.gen(function*() {
        const chat = yield* makeChat()
        const go = yield* Deferred.make<void>()
        const toolSet = yield* setOf(tool("slow", Deferred.await(go)), echo(), pay())
        const options = { toolSet, turnId: "m1", approve: () => Effect.succeed(false) }
        const turn = yield* Effect.fork(respond(chat, form, "Go", options))
        yield* TestClock.adjust(0)
        const seen: Array<ChatEvent.ChatEvent> = []
        const listener = yield* Effect.fork(
          Stream.runForEach(chat.chatEvents("Go", options), (event) => Effect.sync(() => seen.push(event)))
        )
        yield* TestClock.adjust(0)
        const before = [
          "ToolStart slow",
          "ToolStart echo",
          "ToolResult echo success",
          "ApprovalRequest pay",
          "ToolResult pay denied"
        ]
        assert.sameMembers([...tags(seen)], before)
        yield* Deferred.succeed(go, undefined)
        const response = yield* Fiber.join(turn)
        yield* Fiber.join(listener)
        assert.deepStrictEqual(tags(seen).slice(before.length), [
          "ToolResult slow success",
          "StepFinish 0",
          "StepFinish 1",
          "Finish stop"
        ])
        const kinds = seen.map(({ _tag }) => _tag).filter((tag) =>
          ["Begin", "TextDelta", "ToolCallDelta"].includes(tag)
        )
        assert.deepStrictEqual([...new Set(kinds)], ["Begin", "ToolCallDelta", "TextDelta"])
        assert.lengthOf(kinds.filter((tag) => tag === "Begin"), 2)
        const last = seen.at(-1)
        assert.deepStrictEqual(last?._tag === "Finish" ? last.response : undefined, response)
      }).pipe(withScript([
        calls({ name: "slow" }, { name: "echo" }, { name: "pay", arguments: { amount: 1 } }),
        says("done")
      ])))
  }
})

describe("a custom ChatCompletions service", () => {
  for (const form of forms) {
    it.effect(`receives the request of each step of a turn, with the results so far (${form})`, () =>
      Effect.gen(function*() {
        const completions = yield* ChatCompletions.make
        const received: Array<readonly [form: string, roles: ReadonlyArray<string>]> = []
        const record = (form: string, { messages }: ChatCompletions.ChatRequest) =>
          received.push([form, messages.map(({ role }) => role)])
        const chat = yield* LLMChat.fromCompletions(
          {
            complete: (request) => Effect.suspend(() => (record("complete", request), completions.complete(request))),
            stream: (request) => Stream.suspend(() => (record("streamed", request), completions.stream(request)))
          },
          options({ wire: { toolHistory: "calls" } })
        )
        const runs: Array<string> = []

        const response = yield* respond(chat, form, "Go", { toolSet: yield* setOf(echo(runs)) })

        assert.strictEqual(response.text, "done")
        assert.lengthOf(runs, 1)
        assert.deepStrictEqual(received, [
          [form, ["system", "user"]],
          [form, ["system", "user", "assistant", "tool"]]
        ])
        assert.deepStrictEqual(sent((yield* requests)[1]).slice(3), ["tool: echo hi"])
      }).pipe(withScript([calls({ name: "echo", arguments: { text: "hi" } }), says("done")])))
  }
})
