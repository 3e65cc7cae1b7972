/**
 * Interrupts or stops a turn between any two of its operations.
 */
import { type HttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, type Fiber, FiberId, Stream } from "effect"
import { type ChatEvent, LLMChat, LLMConfig } from "effect-chat"
import { type ScriptedHttpClient } from "effect-chat/testing"
import { echo, echoOf, held, nothing, options, transcript, withScript } from "../support/chats.ts"
import { atOperations, ended, mostly, type Stage, value } from "../support/stage.ts"

type Scripted = HttpClient.HttpClient | ScriptedHttpClient.ScriptedHttpClient

/** Plays the scene with a disturbance between any two operations. */
const atEveryOperation = (scene: (stage: Stage, after: number) => Effect.Effect<void, unknown, Scripted>) =>
  Effect.map(
    atOperations(mostly, (stage, after) => withScript(echo())(scene(stage, after))),
    (operations) => assert.isAbove(operations, 100)
  )

const configs = {
  queue: LLMConfig.make(options()),
  replace: LLMConfig.make(options({ turnPolicy: "replace" }))
}

/** Reads the history on the stage, so that a read that hangs does not hang the test. */
const read = (chat: LLMChat.Service, stage: Stage): ReadonlyArray<string> => {
  const fiber = stage.fork(transcript(chat))
  stage.settle()
  return value(fiber, "the history")
}

/** Asserts that the history has complete turns, that another turn can run, and that no resource is held. */
const assertSound = (chat: LLMChat.Service, stage: Stage) =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* held, nothing)
    const before = read(chat, stage)
    assert.strictEqual(before.length % 2, 1, before.join(" | "))
    const turn = stage.fork(chat.chat("next"))
    stage.settle()
    value(turn, "the next turn")
    assert.deepStrictEqual(read(chat, stage), [...before, "user: next", `assistant: ${echoOf(before, "next")}`])
    assert.deepStrictEqual(yield* held, nothing)
  })

const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => (): void => {
  fiber.unsafeInterruptAsFork(FiberId.none)
}

describe("an interruption between any two operations of a turn", () => {
  const letsNextTurnRun = (what: string, run: (chat: LLMChat.Service) => Effect.Effect<unknown, unknown>) =>
    it.effect(`lets the next turn run (${what})`, () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const chat = yield* LLMChat.make(configs.queue)
          const fiber = stage.fork(run(chat))
          stage.breakIn(after, interrupt(fiber))
          stage.settle()
          stage.leaveAlone()
          ended(fiber, "the turn")
          yield* assertSound(chat, stage)
        })
      ), 60_000)

  letsNextTurnRun("chat", (chat) => chat.chat("a"))
  letsNextTurnRun("chatStream", (chat) => Stream.runDrain(chat.chatStream("a")))
  letsNextTurnRun("askStream", (chat) => Stream.runDrain(chat.askStream("a")))

  for (const policy of ["queue", "replace"] as const) {
    it.effect(
      `removes a waiting turn from the queue (${policy})`,
      () =>
        atEveryOperation((stage, after) =>
          Effect.gen(function*() {
            const chat = yield* LLMChat.make(configs[policy])
            const first = stage.start(Effect.either(chat.chat("first")))
            const second = stage.fork(chat.chat("second"))
            stage.breakIn(after, interrupt(second))
            stage.settle()
            stage.leaveAlone()
            ended(first, "the first turn")
            ended(second, "the second turn")
            yield* assertSound(chat, stage)
          })
        ),
      60_000
    )
  }
})

describe("stop between any two operations", () => {
  const assertAgrees = (history: ReadonlyArray<string>, events: ReadonlyArray<ChatEvent.ChatEvent>): void => {
    const finishes = events.filter((event) => event._tag === "Finish")
    const told = events.flatMap((event) => event._tag === "TextDelta" ? [event.text] : []).join("")
    const mark = finishes[0]?.reason === "interrupted" ? " [interrupted]" : ""
    assert.lengthOf(finishes, 1)
    assert.strictEqual(events.at(-1)?._tag, "Finish")
    assert.strictEqual(finishes[0]?.response.text, told)
    assert.deepStrictEqual(history, ["system: S", "user: a", `assistant: ${told}${mark}`])
  }

  it.effect(
    "ends a streamed turn, and its events agree with the history",
    () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const chat = yield* LLMChat.make(configs.queue)
          const turn = stage.fork(Stream.runCollect(chat.chatEvents("a")))
          stage.breakIn(after, () => void stage.start(chat.stop))
          stage.settle()
          stage.leaveAlone()
          assertAgrees(read(chat, stage), Array.from(value(turn, "the turn")))
          yield* assertSound(chat, stage)
        })
      ),
    60_000
  )

  it.effect(
    "ends a turn without a stream, and its response agrees with the history",
    () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const chat = yield* LLMChat.make(configs.queue)
          const turn = stage.fork(chat.chat("a"))
          stage.breakIn(after, () => void stage.start(chat.stop))
          stage.settle()
          stage.leaveAlone()
          const isCut = value(turn, "the turn").finishReason === "interrupted"
          assert.deepStrictEqual(
            read(chat, stage),
            ["system: S", "user: a", isCut ? "assistant:  [interrupted]" : "assistant: re a"]
          )
          yield* assertSound(chat, stage)
        })
      ),
    60_000
  )

  it.effect(
    "blocks no turn if the stop is interrupted",
    () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const chat = yield* LLMChat.make(configs.queue)
          const turn = stage.fork(Stream.runDrain(chat.chatStream("a")))
          const stop = stage.fork(Effect.zipRight(Effect.yieldNow(), chat.stop))
          stage.breakIn(after, interrupt(stop))
          stage.settle()
          stage.leaveAlone()
          ended(stop, "stop")
          ended(turn, "the turn")
          yield* assertSound(chat, stage)
        })
      ),
    60_000
  )
})
