import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Ref, Schema, TestClock } from "effect"
import { ChatEvent, ChatMessage, Tool, ToolSet } from "effect-chat"

type Overrides = Partial<ToolSet.RunOptions>

const call = (name: string, args = "{}", callId = name): ToolSet.CallToRun => ({
  callId,
  call: { id: `server-${callId}`, name, arguments: args }
})

const run = <R>(
  tools: ReadonlyArray<Tool.Tool<never, unknown, unknown, R>>,
  calls: ReadonlyArray<ToolSet.CallToRun>,
  overrides: Overrides = {}
) =>
  Effect.flatMap(ToolSet.make(tools), (set) =>
    Effect.flatMap(set.current, (tools) =>
      set.runCalls({
        calls,
        tools,
        context: { conversation: "c", turnId: "t", step: 0 },
        concurrency: 4,
        previous: [],
        emit: () => Effect.void,
        ...overrides
      })))

const one = <R>(tool: Tool.Tool<never, unknown, unknown, R>, args = "{}", overrides: Overrides = {}) =>
  Effect.map(run([tool], [call(tool.name, args)], overrides), ({ results }) => {
    const result = results[0]
    if (result === undefined) throw new Error("no result")
    return result
  })

const simple = (handler: Effect.Effect<unknown, unknown>, name = "tool") =>
  Tool.make({ name, parameters: {}, handler: () => handler })

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.String }) {}

describe("runCalls", () => {
  it.effect("returns results in the order of the calls, whichever finishes first (A5)", () =>
    Effect.gen(function*() {
      const slow = simple(Effect.as(Effect.sleep("2 seconds"), "slow"), "slow")
      const fast = simple(Effect.as(Effect.sleep("1 second"), ""), "fast")
      const events = yield* Ref.make<ReadonlyArray<ChatEvent.ToolEvent>>([])
      const fiber = yield* Effect.fork(run([slow, fast], [call("slow"), call("fast")], {
        emit: (event) => Ref.update(events, (all) => [...all, event])
      }))
      yield* TestClock.adjust("2 seconds")
      const { results } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(results.map(({ content }) => content), ["slow", "The tool returned nothing."])
      const seen = yield* Ref.get(events)
      assert.deepStrictEqual(seen.map((event) => event._tag === "StepFinish" ? "" : `${event._tag} ${event.callId}`), [
        "ToolStart slow",
        "ToolStart fast",
        "ToolResult fast",
        "ToolResult slow"
      ])
      assert.deepStrictEqual(Schema.decodeUnknownSync(Schema.Array(ChatEvent.ToolEvent))(seen), seen)
    }))

  it.effect("runs at most `concurrency` handlers at once", () =>
    Effect.gen(function*() {
      let active = 0
      let most = 0
      const tool = simple(Effect.acquireUseRelease(
        Effect.sync(() => most = Math.max(most, ++active)),
        () => Effect.sleep("1 second"),
        () => Effect.sync(() => active--)
      ))
      const calls = ["1", "2", "3", "4", "5"].map((id) => call("tool", "{}", id))
      const fiber = yield* Effect.fork(run([tool], calls, { concurrency: 2 }))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).results.length, 5)
      assert.strictEqual(most, 2)
    }))

  it.effect("continues the other calls if one fails (A4)", () =>
    Effect.gen(function*() {
      const { results } = yield* run(
        [
          simple(Effect.fail("/etc/db.sqlite"), "bad"),
          simple(Effect.delay(Effect.succeed("ok"), 0), "good")
        ],
        [call("bad"), call("good")]
      ).pipe(
        Effect.zipLeft(Effect.void, { concurrent: true }),
        Effect.fork,
        Effect.flatMap((fiber) => Effect.zipRight(TestClock.adjust(0), Fiber.join(fiber)))
      )
      assert.deepStrictEqual(results.map(({ content, outcome }) => [outcome, content]), [
        ["failure", "The tool failed."],
        ["success", "ok"]
      ])
    }))

  it.effect("reports a failure with its tag and its Schema's encoding", () =>
    Effect.gen(function*() {
      const tool = Tool.make({
        name: "find",
        parameters: { id: Schema.String },
        failure: NotFound,
        handler: ({ id }) => Effect.fail(new NotFound({ id }))
      })
      const { content } = yield* one(tool, "{\"id\":\"7\"}")
      assert.strictEqual(content, "The tool failed with NotFound: {\"id\":\"7\",\"_tag\":\"NotFound\"}")
    }))

  it.effect("fails the turn for a failure with failureMode error, and dies for a defect", () =>
    Effect.gen(function*() {
      const cause = new Error("no")
      const tool = Tool.make({ name: "t", parameters: {}, failureMode: "error", handler: () => Effect.fail(cause) })
      const error = yield* Effect.flip(one(tool))
      assert.deepStrictEqual([error._tag, "cause" in error ? error.cause : undefined], ["ToolError", cause])
      const exit = yield* Effect.exit(one(simple(Effect.die("bug"))))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
    }))

  it.effect("reports unknown tools with the existing names (A13), and arguments that do not decode with the issue", () =>
    Effect.gen(function*() {
      const tool = Tool.make({
        name: "add",
        parameters: { a: Schema.Number },
        handler: ({ a }) => Effect.succeed(a + 1)
      })
      const { results } = yield* run([tool], [call("sub"), call("add", "{\"a\":\"x\"}"), call("add", "{\"a\":", "cut")])
      assert.deepStrictEqual(results.map(({ content }) => content), [
        "The tool \"sub\" does not exist. The tools are: add.",
        "The call was not run: its arguments are not valid. Expected number, actual \"x\" at a",
        "The call was not run: its arguments are not valid. They are not JSON"
      ])
    }))

  it.effect("reads blank arguments as an empty object, and decodes arguments that were encoded twice (A11)", () =>
    Effect.gen(function*() {
      const tool = Tool.fromJsonSchema({ name: "t", parameters: { type: "object" }, handler: Effect.succeed })
      assert.strictEqual((yield* one(tool, "")).content, "{}")
      assert.strictEqual((yield* one(tool, " \n")).content, "{}")
      assert.strictEqual((yield* one(tool, JSON.stringify("{\"a\":1}"))).content, "{\"a\":1}")
      assert.strictEqual((yield* one(tool, "[1]")).outcome, "invalidArguments")
    }))

  it.effect("does not run the last call of a truncated answer (A12)", () =>
    Effect.gen(function*() {
      const { results } = yield* run([simple(Effect.succeed("ran"))], [
        call("tool", "{}", "1"),
        call("tool", "{}", "2")
      ], {
        isCutOff: true
      })
      assert.deepStrictEqual(results.map(({ outcome }) => outcome), ["success", "cutOff"])
    }))

  it.effect("interrupts a handler at its timeout and reports that effects may have happened", () =>
    Effect.gen(function*() {
      const released = yield* Ref.make(false)
      const tool = Tool.make({
        name: "t",
        parameters: {},
        timeout: "5 seconds",
        handler: () => Effect.onInterrupt(Effect.never, () => Ref.set(released, true))
      })
      const fiber = yield* Effect.fork(one(tool))
      yield* TestClock.adjust("5 seconds")
      const { content, outcome } = yield* Fiber.join(fiber)
      assert.deepStrictEqual([outcome, yield* Ref.get(released)], ["timeout", true])
      assert.include(content, "within 5s")
    }))

  it.effect("shortens a long result in its middle, between characters, with the same text in event and result (A9)", () =>
    Effect.gen(function*() {
      const emitted = yield* Ref.make("")
      const tool = Tool.make({
        name: "t",
        parameters: {},
        maxResultLength: 10,
        handler: () => Effect.succeed("😀".repeat(50))
      })
      const { content } = yield* one(tool, "{}", {
        emit: (event) => event._tag === "ToolResult" ? Ref.set(emitted, event.content) : Effect.void
      })
      assert.strictEqual(content, "😀😀😀\n[92 of 100 characters were left out]\n😀")
      assert.strictEqual(yield* Ref.get(emitted), content)
    }))

  it.effect("returns media as parts and never as base64 in text (A10)", () =>
    Effect.gen(function*() {
      const image = ChatMessage.imageData(new Uint8Array(90), "image/png")
      const parts = simple(Effect.succeed(Tool.content([ChatMessage.text("A picture"), image])))
      const result = yield* one(parts)
      assert.deepStrictEqual([result.content, result.media], ["A picture\n[image]", [image]])
      const nested = yield* one(simple(Effect.succeed({ shot: image.url, raw: new Uint8Array(3) })))
      assert.strictEqual(nested.content, "{\"shot\":\"[image/png, 90 bytes]\",\"raw\":\"[3 bytes]\"}")
    }))

  it.effect("does not run the third equal call in a row with an equal outcome (A2)", () =>
    Effect.gen(function*() {
      const ran = yield* Ref.make(0)
      const tool = simple(Effect.as(Ref.update(ran, (n) => n + 1), "same"))
      const previous: Array<ToolSet.CallResult> = []
      for (
        const [step, args] of ["{\"a\":1,\"b\":2}", "{\"b\":2, \"a\":1}", "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"]
          .entries()
      ) {
        previous.push(
          yield* one(tool, args, { previous: [...previous], context: { conversation: "c", turnId: "t", step } })
        )
      }
      assert.deepStrictEqual(previous.map(({ outcome }) => outcome), ["success", "success", "repeated", "repeated"])
      assert.strictEqual(yield* Ref.get(ran), 2)
      const changing = simple(Ref.updateAndGet(ran, (n) => n + 1))
      const polls: Array<ToolSet.CallResult> = []
      for (const step of [0, 1, 2, 3]) {
        polls.push(
          yield* one(changing, "{}", { previous: [...polls], context: { conversation: "c", turnId: "t", step } })
        )
      }
      assert.isTrue(polls.every(({ outcome }) => outcome === "success"))
    }))

  it.effect("distinguishes finished, running and not started calls if it is interrupted (A6, A7)", () =>
    Effect.gen(function*() {
      const aborted = yield* Ref.make<ReadonlyArray<ToolSet.CallResult>>([])
      const started = yield* Deferred.make<void>()
      const released = yield* Ref.make(false)
      const tools = [
        simple(Effect.succeed("real result"), "quick"),
        simple(
          Effect.onInterrupt(
            Effect.zipRight(Deferred.succeed(started, undefined), Effect.never),
            () => Ref.set(released, true)
          ),
          "stuck"
        )
      ]
      const fiber = yield* Effect.fork(run(tools, [call("quick"), call("stuck"), call("quick", "{}", "later")], {
        concurrency: 1,
        onAbort: (results) => Ref.set(aborted, results)
      }))
      yield* Deferred.await(started)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* Ref.get(aborted)).map(({ callId, outcome }) => [callId, outcome]), [
        ["quick", "success"],
        ["stuck", "unknown"],
        ["later", "notStarted"]
      ])
      assert.isTrue(yield* Ref.get(released))
    }))

  it.effect("keeps the result of a handler that finishes while it is stopped (A7)", () =>
    Effect.gen(function*() {
      const aborted = yield* Ref.make<ReadonlyArray<ToolSet.CallResult>>([])
      const started = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const tool = simple(Effect.uninterruptible(
        Effect.zipRight(Deferred.succeed(started, undefined), Effect.as(Deferred.await(gate), "paid"))
      ))
      const fiber = yield* Effect.fork(run([tool], [call("tool")], { onAbort: (results) => Ref.set(aborted, results) }))
      yield* Deferred.await(started)
      const stop = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stop)
      assert.deepStrictEqual((yield* Ref.get(aborted)).map(({ content, outcome }) => [outcome, content]), [[
        "success",
        "paid"
      ]])
    }))

  it.effect("gives a handler the ids of its call", () =>
    Effect.gen(function*() {
      const tool = Tool.make({ name: "t", parameters: {}, handler: (_input, context) => Effect.succeed(context) })
      assert.deepStrictEqual(JSON.parse((yield* one(tool)).content), {
        conversation: "c",
        turnId: "t",
        step: 0,
        callId: "t"
      })
    }))
})

describe("approvals", () => {
  const pay = (needsApproval: Tool.Settings<{ readonly amount: number }, never>["needsApproval"]) =>
    Tool.make({
      name: "pay",
      parameters: { amount: Schema.Number },
      needsApproval,
      handler: ({ amount }) => Effect.succeed(`paid ${amount}`)
    })

  it.effect("runs the calls that need none and returns the others as pending, without an event (B3)", () =>
    Effect.gen(function*() {
      const tags: Array<string> = []
      const { pending, results } = yield* run(
        [pay(({ amount }) => amount > 10)],
        [call("pay", "{\"amount\":99}", "big"), call("pay", "{\"amount\":1}", "small")],
        { emit: (event) => Effect.sync(() => void tags.push(event._tag)) }
      )
      assert.deepStrictEqual(results.map(({ callId, content }) => [callId, content]), [["small", "paid 1"]])
      assert.deepStrictEqual(pending.map(({ request }) => [request.callId, request.arguments]), [[
        "big",
        "{\"amount\":99}"
      ]])
      assert.deepStrictEqual(tags, ["ToolStart", "ToolResult"])
    }))

  it.effect("treats a failing needsApproval function as true", () =>
    Effect.gen(function*() {
      const throwing = pay(() => {
        throw new Error("no")
      })
      for (const tool of [pay(() => Effect.fail("no")), throwing, pay(() => Effect.die("no"))]) {
        const { pending } = yield* run([tool], [call("pay", "{\"amount\":1}")])
        assert.strictEqual(pending.length, 1)
      }
    }))

  it.effect("runs approved calls, and reports a denial with its reason (B11)", () =>
    Effect.gen(function*() {
      const approved = yield* one(pay(true), "{\"amount\":1}", { approve: () => Effect.succeed(true) })
      assert.strictEqual(approved.content, "paid 1")
      const approve = () => Effect.succeed({ approved: false, reason: "too much" })
      const denied = yield* one(pay(true), "{\"amount\":1}", { approve })
      assert.strictEqual(denied.outcome, "denied")
      assert.include(denied.content, "pay was denied (too much). It was not run and is not queued.")
      const again = yield* one(pay(true), "{ \"amount\": 1 }", {
        previous: [denied],
        context: { conversation: "c", turnId: "t", step: 5 },
        approve: () => Effect.die("asked again")
      })
      assert.strictEqual(again.outcome, "denied")
    }))

  it.effect("uses a decision that was made before instead of asking", () =>
    Effect.gen(function*() {
      const { results } = yield* run([pay(true)], [{ ...call("pay", "{\"amount\":3}"), decision: true }], {
        approve: () => Effect.die("asked")
      })
      assert.strictEqual(results[0]?.content, "paid 3")
    }))

  it.effect("denies a call by a decision that was made before, whatever its arguments are", () =>
    Effect.gen(function*() {
      for (const decision of [false, { approved: false }]) {
        const { results } = yield* run([pay(true)], [{ ...call("pay", "no JSON"), decision }])
        assert.deepStrictEqual(results.map(({ outcome }) => outcome), ["denied"])
      }
    }))

  it.effect("ends the wait for an approval after its own limit, without a denial, while other calls run (B12)", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(run([pay(({ amount }) => amount > 1)], [
        call("pay", "{\"amount\":2}", "asked"),
        call("pay", "{\"amount\":1}", "free")
      ], { approve: () => Effect.never, approvalTimeout: "1 minute", concurrency: 1 }))
      yield* TestClock.adjust("1 minute")
      const { results } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(results.map(({ outcome }) => outcome), ["approvalTimeout", "success"])
    }))
})
