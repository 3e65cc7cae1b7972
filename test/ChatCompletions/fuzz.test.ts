import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Effect, Exit, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { ChatCompletions, ChatError, type ChatEvent, ChatMessage, ChatResponse, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { afterAll } from "vitest"
import { Decoder } from "../../src/internal/decode/decoder.ts"
import { cases, isPresent } from "../support/corpus.ts"
import { below, choose, mutate } from "../support/mutate.ts"
import { cut, generator } from "../support/playback.ts"
import { hasEnd, read } from "../support/reference.ts"
import { runs } from "../support/runs.ts"

const count = Number(process.env["FUZZ_RUNS"] ?? runs(100, 300))
const seed = Number(process.env["FUZZ_SEED"] ?? 20261122)
/** The number of a single run, to repeat one that failed. */
const only = process.env["FUZZ_ONLY"]

interface Body {
  readonly id: string
  readonly contentType: string
  readonly status: number
  readonly body: Uint8Array
}

const chunk = (delta: object): string =>
  `data: ${JSON.stringify({ id: "c1", model: "m", choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`

const finish = (reason: string): string =>
  `data: ${JSON.stringify({ id: "c1", model: "m", choices: [{ index: 0, delta: {}, finish_reason: reason }] })}\n\n`

const counts = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n"

const texts = {
  "text, usage and [DONE]": chunk({ role: "assistant", content: "" }) + chunk({ content: "你好, " }) +
    chunk({ content: "wörld 👋" }) + chunk({ content: " {\"a\":1}\n\ndata: x" }) + finish("stop") + counts +
    "data: [DONE]\n\n",
  "CRLF, comments and reasoning": (": keep-alive\n\n" + chunk({ reasoning_content: "let me " }) +
    chunk({ reasoning_content: "see" }) + ": again\n\n" + chunk({ content: "42" }) + finish("stop") +
    "data: [DONE]\n\n").replaceAll("\n", "\r\n"),
  "no [DONE]": chunk({ content: "Hi" }) + chunk({ content: " there" }) + finish("length"),
  "no finish reason": chunk({ content: "Hi" }) + chunk({ content: " there" }) + "data: [DONE]\n\n",
  "tool calls": chunk({ tool_calls: [{ index: 0, id: "t1", function: { name: "add", arguments: "" } }] }) +
    chunk({ tool_calls: [{ index: 0, function: { arguments: "{\"a\":" } }] }) +
    chunk({ tool_calls: [{ index: 0, function: { arguments: "1}" } }] }) +
    chunk({ tool_calls: [{ index: 1, id: "t2", function: { name: "now", arguments: "{}" } }] }) +
    finish("tool_calls") + "data: [DONE]\n\n",
  "an error after a delta": chunk({ content: "Hi" }) + "data: {\"error\":{\"message\":\"quota\"}}\n\n",
  "an error event": "event: error\ndata: {\"error\":{\"message\":\"model not found\"}}\n\n",
  "a completion":
    "\n {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi 你\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}"
}

const generated: ReadonlyArray<Body> = Object.entries(texts).map(([id, text]) => ({
  id,
  contentType: id === "a completion" ? "application/json" : "text/event-stream; charset=utf-8",
  status: 200,
  body: new TextEncoder().encode(text)
}))

const bodies = [...generated, ...cases] as [Body, ...Array<Body>]

/** How the body ends: regularly, by a reset, or never. */
type Ending = "end" | "reset" | "stall"

const endings: readonly [Ending, ...ReadonlyArray<Ending>] = ["end", "end", "end", "reset", "stall"]

interface Trial {
  readonly source: Body
  readonly names: ReadonlyArray<string>
  readonly body: Uint8Array
  readonly chunks: ReadonlyArray<Uint8Array>
  readonly ending: Ending
  readonly stream: boolean
  /** Whether the config has small limits, which many bodies exceed. */
  readonly hasSmallLimits: boolean
}

const trial = (run: number): Trial => {
  const random = generator(seed + run * 7919)
  const source = choose(bodies, random)
  const { body, names } = mutate(source.body, random)
  const maxSize = choose([body.length + 1, 4096, 100, 7, 1], random)
  const chunks = cut(body, Math.max(maxSize, Math.ceil(body.length / 400)), random)
  const stream = below(5, random) > 0
  return {
    source,
    names,
    body,
    chunks,
    ending: choose(endings, random),
    stream,
    hasSmallLimits: below(10, random) === 0
  }
}

/** The events and the result of a call. */
interface Outcome {
  readonly events: ReadonlyArray<ChatEvent.ChatEvent>
  readonly result: ChatResponse.ChatResponse | ChatError.ChatError
}

const isResponse = (result: Outcome["result"]): result is ChatResponse.ChatResponse =>
  result instanceof ChatResponse.ChatResponse

const endOf = (ending: Ending): ReadonlyArray<ScriptedHttpClient.BodyStep> => {
  if (ending === "end") return []
  return [ending === "reset" ? ScriptedHttpClient.reset() : ScriptedHttpClient.never]
}

const request = (limits: { readonly maxEventSize?: number; readonly maxBodySize?: number }) => ({
  config: LLMConfig.make({ baseUrl: "http://scripted.test/v1", maxRetries: 0, ...limits }),
  messages: [ChatMessage.user("play it back")]
})

const plain = request({})
const smallLimits = request({ maxEventSize: 300, maxBodySize: 1000 })

/** The outcome of a trial. Fails the test if the call hangs or ends with neither a response nor a typed error. */
const play = ({ chunks, ending, hasSmallLimits, source, stream }: Trial): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const request = hasSmallLimits ? smallLimits : plain
    const completions = yield* ChatCompletions.ChatCompletions
    const events: Array<ChatEvent.ChatEvent> = []
    const call = stream
      ? Stream.runForEachChunk(completions.stream(request), (chunk) => {
        assert.isAbove(chunk.length, 0, "a chunk without events")
        return Effect.sync(() => void events.push(...chunk))
      })
      : completions.complete(request)
    const fiber = yield* Effect.fork(call)
    yield* TestClock.adjust("1 hour")
    const polled = yield* Fiber.poll(fiber)
    if (Option.isNone(polled)) yield* Fiber.interruptFork(fiber)
    assert.isTrue(Option.isSome(polled), "the call hangs")
    const exit = Option.getOrThrow(polled)
    if (Exit.isSuccess(exit)) {
      if (exit.value !== undefined) return { events, result: exit.value }
      const last = events.at(-1)
      assert.strictEqual(last?._tag, "Finish", "a stream that succeeds ends with Finish")
      return { events, result: (last as ChatEvent.Finish).response }
    }
    assert.isTrue(Cause.isFailure(exit.cause) && Option.isNone(Cause.dieOption(exit.cause)), Cause.pretty(exit.cause))
    const failures = Chunk.toReadonlyArray(Cause.failures(exit.cause))
    assert.strictEqual(failures.length, 1, Cause.pretty(exit.cause))
    assert.isTrue(ChatError.isChatError(failures[0]), Cause.pretty(exit.cause))
    return { events, result: Option.getOrThrow(Cause.failureOption(exit.cause)) }
  }).pipe(
    Effect.provide(Layer.provideMerge(
      ChatCompletions.layer,
      ScriptedHttpClient.layer([
        ScriptedHttpClient.bytes([...chunks, ...endOf(ending)], {
          status: source.status,
          headers: { "content-type": source.contentType }
        })
      ])
    )),
    Effect.scoped
  )

/** Asserts that the events of a stream add up to its response, or to the partial response of its error. */
const eventsAddUp = ({ events, result }: Outcome): void => {
  const response = isResponse(result) ? result : result.partial
  const texts = { TextDelta: "", ReasoningDelta: "", RefusalDelta: "" }
  const calls: Array<{ id: string; name: string; arguments: string }> = []
  let usage: ChatResponse.Usage | undefined
  events.forEach((event, at) => {
    switch (event._tag) {
      case "TextDelta":
      case "ReasoningDelta":
      case "RefusalDelta":
        assert.notStrictEqual(event.text, "", "an empty delta")
        texts[event._tag] += event.text
        break
      case "ToolCallDelta": {
        const before = calls[event.index]?.arguments ?? ""
        calls[event.index] = { id: event.id, name: event.name, arguments: before + event.arguments }
        break
      }
      case "UsageUpdate":
        usage = event.usage
        break
      case "Finish":
        assert.strictEqual(at, events.length - 1, "an event after Finish")
        assert.isTrue(isResponse(result), "an error after Finish")
    }
  })
  if (response === undefined) return assert.deepStrictEqual(events, [], "an error without the events before it")
  assert.strictEqual(texts.TextDelta, response.text)
  assert.strictEqual(texts.ReasoningDelta, response.reasoning)
  assert.strictEqual(texts.RefusalDelta, response.refusal)
  callsAgree(calls, response.toolCalls)
  // A usage at the end is emitted only with a later event: here it is only in the error.
  if (isResponse(result) || usage !== undefined) assert.deepStrictEqual(usage, response.usage)
}

/**
 * If the deltas of every call join to JSON, they must be the calls. Otherwise the calls are determined at the end of the
 * answer, with arguments from the deltas.
 */
const callsAgree = (
  deltas: ReadonlyArray<ChatResponse.ToolCall>,
  calls: ReadonlyArray<ChatResponse.ToolCall>
): void => {
  const actual = calls.map(({ arguments: text, id, name }) => ({ id, name, arguments: text }))
  const ids = deltas.flatMap(({ id }) => id === "" ? [] : [id])
  const append = deltas.every((call) => call.arguments === "" || isJson(call.arguments))
  if (append && new Set(ids).size === ids.length) return assert.deepStrictEqual(deltas, actual)
  const joined = deltas.map((call) => call.arguments).join("")
  for (const call of actual) assert.include(joined, call.arguments)
  assert.includeMembers(actual.map(({ name }) => name), deltas.map(({ name }) => name))
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Asserts that the result agrees with that of the reference reader. */
const agreesWithReference = ({ body, ending, hasSmallLimits, source }: Trial, { result }: Outcome): void => {
  if (source.status !== 200) return assert.isFalse(isResponse(result), "an error status is no answer")
  const { text, verdict } = read(body, source.contentType)
  if (isResponse(result)) {
    assert.isTrue(hasEnd(body), "called complete without an end")
    assert.include(["whole", "unsure"], verdict, `called complete: ${result.text.slice(-200)}`)
    if (verdict === "whole") assert.strictEqual(result.text, text)
  } else if (ending === "end" && !hasSmallLimits) {
    assert.notStrictEqual(verdict, "whole", `a lost answer: ${result._tag} ${result.message}`)
    if (verdict === "cut") assert.strictEqual(result._tag, "TruncatedError", result.message)
  }
}

/** Asserts that a truncated body has no text that the complete body lacks. */
const neverInvents = ({ body, hasSmallLimits, names, source, stream }: Trial, { result }: Outcome): void => {
  if (names.join() !== "cut" || hasSmallLimits || !stream || source.status !== 200) return
  const complete = decodeAll([source.body], source.contentType, false).response
  const response = isResponse(result) ? result : result.partial
  // The last character may be incomplete.
  const text = response?.text.replace(/\uFFFD$/, "") ?? ""
  assert.isTrue((complete?.text ?? "").startsWith(text), "text that was not sent")
  if (isResponse(result)) return
  const isComplete = read(body, source.contentType).verdict === "whole"
  assert.isFalse(
    isComplete && result._tag === "MalformedResponseError",
    "a complete answer is refused for its truncated end"
  )
}

const baseUrl = "http://server.test/v1"
const config = LLMConfig.make({ baseUrl })
const withTags = LLMConfig.make({ baseUrl, wire: { thinkTags: true } })

const decodeAll = (chunks: ReadonlyArray<Uint8Array>, contentType: string, thinkTags: boolean) => {
  const decoder = new Decoder(thinkTags ? withTags : config, () => contentType)
  const events: Array<ChatEvent.ChatEvent> = []
  let problem: ReturnType<Decoder["push"]>
  for (const chunk of chunks) {
    problem = decoder.push(chunk, events)
    if (problem !== undefined || decoder.isDone) break
  }
  if (problem === undefined && !decoder.isDone) problem = decoder.end(events)
  const last = events.at(-1)
  return { response: last?._tag === "Finish" ? last.response : decoder.partial, problem }
}

const outcomes = new Map<string, number>()

const check = (run: number): Effect.Effect<void> => {
  const current = trial(run)
  return Effect.map(play(current), (outcome) => {
    const name = isResponse(outcome.result) ? "complete" : outcome.result._tag
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
    if (current.stream) eventsAddUp(outcome)
    agreesWithReference(current, outcome)
    neverInvents(current, outcome)
    const { contentType } = current.source
    for (const thinkTags of [false, true]) {
      const inChunks = decodeAll(current.chunks, contentType, thinkTags)
      assert.deepStrictEqual(inChunks, decodeAll([current.body], contentType, thinkTags), "re-chunked")
    }
  }).pipe(Effect.catchAllDefect((defect) => {
    const { body, ending, names, source, stream } = current
    const mutations = names.join(", ")
    const label = `FUZZ_SEED=${seed} FUZZ_ONLY=${run}: ${source.id}, ${mutations}; ${ending}, stream ${stream}`
    const text = new TextDecoder().decode(body)
    const shown = process.env["FUZZ_SHOW"] === undefined ? text.slice(-1000) : text
    return Effect.die(new Error(`${label}\n${String(defect)}\n${JSON.stringify(shown)}`, { cause: defect }))
  }))
}

const batches = 10

describe(`Fuzz: ${count} mutated answers${isPresent ? "" : " (generated ones: ../shared/corpus is absent)"}`, () => {
  for (let batch = 0; batch < batches; batch++) {
    it.effect(
      `mutations ${batch + 1}/${batches} give a correct answer or a typed error`,
      () =>
        Effect.gen(function*() {
          for (let run = batch; run < count; run += batches) {
            if (only === undefined || Number(only) === run) yield* check(run)
          }
        }),
      600_000
    )
  }

  afterAll(() => {
    const lines = [...outcomes].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${String(n).padStart(8)}  ${name}`)
    process.stdout.write(`Mutated answers by outcome:\n${lines.join("\n")}\n`)
  })
})
