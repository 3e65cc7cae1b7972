/**
 * Properties of turns with tools under any interleaving of handlers, approvals, stops, interruptions and restarts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, FastCheck, type Fiber, FiberId, Layer, Option, Schema, Stream } from "effect"
import { ChatManager, type ChatMessage, HistoryStore, type LLMChat, LLMConfig, Tool, ToolSet, Turn } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { options, withScript } from "../support/chats.ts"
import { runs } from "../support/runs.ts"
import { makeStage, type Stage } from "../support/stage.ts"
import { isPaired, member } from "../support/tools.ts"

interface Call {
  readonly outcome: "succeeds" | "fails" | "waits"
  /** The duration of the handler. */
  readonly seconds: number
  readonly needsApproval: boolean
}

interface Act {
  readonly what: "chat" | "stream" | "respond" | "stop" | "interrupt" | "restart"
  /** The calls of the model in each step. */
  readonly steps: ReadonlyArray<ReadonlyArray<Call>>
  /** Selects the open calls that are answered, or the turn that is interrupted. */
  readonly which: number
  readonly approved: boolean
  readonly seconds: number
}

const call: FastCheck.Arbitrary<Call> = FastCheck.record({
  outcome: FastCheck.constantFrom("succeeds", "succeeds", "fails", "waits"),
  seconds: FastCheck.nat({ max: 3 }),
  needsApproval: FastCheck.boolean()
})

const acts = FastCheck.array(
  FastCheck.record<Act>({
    what: FastCheck.constantFrom(
      "chat",
      "chat",
      "stream",
      "stream",
      "respond",
      "respond",
      "stop",
      "interrupt",
      "restart"
    ),
    steps: FastCheck.array(FastCheck.array(call, { minLength: 1, maxLength: 3 }), { maxLength: 2 }),
    which: FastCheck.nat({ max: 7 }),
    approved: FastCheck.boolean(),
    seconds: FastCheck.nat({ max: 4 })
  }),
  { minLength: 2, maxLength: 9 }
)

/** A server that responds with the calls of the act in the last prompt, and refuses the requests that OpenAI refuses. */
const script = (all: ReadonlyArray<Act>, refused: Array<unknown>): ScriptedHttpClient.Script => (request) => {
  const messages = member(request, "messages")
  const list = Array.isArray(messages) ? messages : []
  if (!isAcceptable(list)) {
    refused.push(list)
    return ScriptedHttpClient.error(400, "unpaired")
  }
  const at = list.map(({ role }) => role).lastIndexOf("user")
  const act = all[Number(/\d+$/.exec(String(list[at]?.content))?.[0])]
  const step = list.slice(at).filter(({ role }) => role === "assistant").length
  const calls = act?.steps[step] ?? []
  if (calls.length === 0 || member(request, "tool_choice") === "none") return ScriptedHttpClient.tokens(["done"])
  return ScriptedHttpClient.toolCalls(calls.map((call, index) => ({
    name: call.needsApproval ? "careful" : "work",
    arguments: { ...call, key: `${at}.${step}.${index}` }
  })))
}

const isAcceptable = (messages: ReadonlyArray<Record<string, unknown>>): boolean => {
  let open: ReadonlyArray<unknown> = []
  for (const message of messages) {
    if (message["role"] === "tool") {
      if (!open.includes(message["tool_call_id"])) return false
      open = open.filter((id) => id !== message["tool_call_id"])
    } else {
      if (open.length > 0) return false
      const calls = message["tool_calls"]
      open = Array.isArray(calls) ? calls.map(({ id }) => id) : []
    }
  }
  return open.length === 0
}

/** Tools that count the runs of each call. */
const toolsOf = (ran: Map<string, number>) => {
  const parameters = {
    outcome: Schema.Literal("succeeds", "fails", "waits"),
    seconds: Schema.Number,
    needsApproval: Schema.Boolean,
    key: Schema.String
  }
  const handler = ({ outcome, seconds }: Call, { callId }: Tool.Context) =>
    Effect.suspend(() => {
      ran.set(callId, (ran.get(callId) ?? 0) + 1)
      if (outcome === "waits") return Effect.never
      return Effect.delay(outcome === "fails" ? Effect.fail("no") : Effect.succeed("ok"), Duration.seconds(seconds))
    })
  return ToolSet.make([
    Tool.make({ name: "work", parameters, handler }),
    Tool.make({ name: "careful", parameters, needsApproval: true, handler })
  ])
}

/** The results of a turn, with the library's own ids of their calls. */
const outcomesOf = (turnId: string, messages: ReadonlyArray<ChatMessage.ChatMessage>) => {
  const steps = messages.flatMap((message) =>
    message.role === "assistant" && message.toolCalls !== undefined ? [message.toolCalls] : []
  )
  const callIds = new Map(
    steps.flatMap((calls, step) => calls.map(({ id }, index) => [`${step} ${id}`, `${turnId}_${step}_${index}`]))
  )
  let step = -1
  return messages.flatMap((message) => {
    if (message.role === "assistant" && message.toolCalls !== undefined) step++
    if (message.role !== "tool") return []
    return [{ callId: callIds.get(`${step} ${message.toolCallId}`) ?? "", outcome: message.outcome ?? "success" }]
  })
}

const Shared = Layer.effect(
  HistoryStore.HistoryStore,
  Effect.map(HistoryStore.HistoryStore, (store) => ({ ...store, isShared: true }))
).pipe(Layer.provide(HistoryStore.layerMemory))

const begin = (chat: LLMChat.Service, act: Act, prompt: string, toolSet: ToolSet.ToolSet) => {
  if (act.what === "chat") return Effect.asVoid(chat.chat(prompt, { toolSet }))
  if (act.what === "stream") return Stream.runDrain(chat.chatEvents(prompt, { toolSet }))
  return Effect.flatMap(chat.openCalls, (open) => {
    const answers = open.filter((_call, index) => (act.which >> index) % 2 === 0)
      .map(({ callId }) => ({ callId, approved: act.approved }))
    return answers.length === 0 ? Effect.void : Effect.asVoid(chat.chat(Turn.respond(answers), { toolSet }))
  })
}

const play = (config: LLMConfig.LLMConfig, all: ReadonlyArray<Act>, ran: Map<string, number>, stage: Stage) =>
  Effect.gen(function*() {
    const toolSet = yield* toolsOf(ran)
    // Each process has its own manager on the shared store. After a restart, the turns of the previous manager continue.
    const open = Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("c"))
    let chat = yield* open
    const turns: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
    for (const [n, act] of all.entries()) {
      if (act.what === "stop") stage.fork(chat.stop)
      else if (act.what === "restart") chat = yield* open
      else if (act.what === "interrupt") turns[act.which % turns.length]?.unsafeInterruptAsFork(FiberId.none)
      else turns.push(stage.fork(begin(chat, act, `q${n}`, toolSet)))
      stage.pass(Duration.seconds(act.seconds))
    }
    stage.fork(chat.stopAll)
    stage.pass("1 minute")
    for (const turn of turns) turn.unsafeInterruptAsFork(FiberId.none)
    stage.pass("1 minute")
    return { chat: yield* open, turns }
  })

describe("any interleaving of turns, handler failures, approvals, stops, interruptions and restarts", () => {
  for (const onInterrupt of ["keep", "rollback"] as const) {
    for (const onFailure of ["keep", "rollback"] as const) {
      it.effect.prop(
        `stores complete turns with the outcomes of their calls, runs each call at most once, and sends valid requests (${onInterrupt}, ${onFailure})`,
        [acts],
        ([all]) => {
          const refused: Array<unknown> = []
          const ran = new Map<string, number>()
          return Effect.gen(function*() {
            const config = LLMConfig.make(options({ onInterrupt, onFailure, wire: { toolHistory: "calls" } }))
            const stage = yield* makeStage
            const { chat, turns } = yield* play(config, all, ran, stage)

            for (const turn of turns) assert.isNotNull(turn.unsafePoll(), "a turn hangs")
            assert.deepStrictEqual([...ran.values()].filter((times) => times > 1), [])
            const last = all.length
            const store = yield* HistoryStore.HistoryStore
            const next = stage.fork(Effect.asVoid(chat.chat(`q${last}`)))
            stage.pass("1 minute")
            const exit = next.unsafePoll()
            assert.isTrue(exit !== null && Exit.isSuccess(exit), String(exit))
            const stored = Option.getOrThrow(yield* store.load("c"))
            for (const [index, { start, turnId }] of stored.turns.entries()) {
              const messages = stored.messages.slice(start, stored.turns[index + 1]?.start)
              assert.isTrue(isPaired(messages), JSON.stringify(messages))
              for (const { callId, outcome } of outcomesOf(turnId, messages)) {
                if (outcome === "unknown") continue
                const isRun = outcome === "success" || outcome === "failure"
                assert.strictEqual(ran.has(callId), isRun, `${callId} ${outcome}`)
              }
            }
            assert.deepStrictEqual(refused, [])
          }).pipe(Effect.scoped, Effect.provide(Shared), withScript(script(all, refused)))
        },
        { fastCheck: { numRuns: runs(15, 60) } }
      )
    }
  }
})
