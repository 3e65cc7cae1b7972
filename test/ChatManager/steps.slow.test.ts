/**
 * Interrupts the calls of a manager between any two of their operations.
 */
import { type HttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, type Fiber, FiberId, Scope, Stream } from "effect"
import { ChatManager, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, echoOf, held, lines, nothing, options, sent, withScript } from "../support/chats.ts"
import { atOperations, mostly, run, type Stage } from "../support/stage.ts"

type Scripted = HttpClient.HttpClient | ScriptedHttpClient.ScriptedHttpClient

const config = LLMConfig.make(options())

/** Plays the scene with a disturbance between any two operations. */
const atEveryOperation = (scene: (stage: Stage, after: number) => Effect.Effect<void, unknown, Scripted>) =>
  atOperations(mostly, (stage, after) => withScript(answers)(scene(stage, after)))

/** Echoes prompts, except for one prompt with an answer that never ends. */
const answers: ScriptedHttpClient.Script = (request) =>
  sent(request).at(-1)?.endsWith("endless") === true
    ? ScriptedHttpClient.tokens(["endless"], { ending: ScriptedHttpClient.never })
    : echo()(request)

/** Makes a manager on the stage. */
const make = (stage: Stage, more?: Partial<ChatManager.Options>) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Effect.context<HttpClient.HttpClient>()
    const made = ChatManager.make({ config, ...more }).pipe(Scope.extend(scope), Effect.provide(context))
    return { scope, manager: run(stage, made, "the manager") }
  })

/** Asserts that the conversation can run a turn, and that the manager closes without holding resources. */
const assertSound = (stage: Stage, manager: ChatManager.LocalManager, scope: Scope.CloseableScope) =>
  Effect.gen(function*() {
    const ada = run(stage, manager.getChat("ada"), "getChat")
    const before = lines(run(stage, ada.history, "the history"))
    assert.strictEqual(run(stage, ada.chat("next"), "the next turn").text, echoOf(before, "next"))
    assert.strictEqual(run(stage, manager.size, "the size"), 1)
    assert.deepStrictEqual(yield* held, nothing)
    run(stage, Scope.close(scope, Exit.void), "the end")
  })

const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => (): void => {
  fiber.unsafeInterruptAsFork(FiberId.none)
}

describe("an interruption between any two operations leaves the manager consistent:", () => {
  const calls: Record<string, (manager: ChatManager.LocalManager) => Effect.Effect<unknown, unknown>> = {
    getChat: (manager) => manager.getChat("ada"),
    size: (manager) => manager.size,
    removeChat: (manager) => Effect.zipRight(manager.getChat("ada"), manager.removeChat("ada")),
    "a turn": (manager) => Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat("a")),
    "a streamed turn": (manager) =>
      Effect.flatMap(manager.getChat("ada"), (chat) => Stream.runDrain(chat.chatStream("a"))),
    "a use of the history": (manager) => Effect.flatMap(manager.getChat("ada"), (chat) => chat.history)
  }
  for (const [name, call] of Object.entries(calls)) {
    it.effect(name, () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const { manager, scope } = yield* make(stage, { timeout: "1 hour" })
          const fiber = stage.fork(call(manager))
          stage.breakIn(after, interrupt(fiber))
          stage.settle()
          stage.leaveAlone()
          assert.isNotNull(fiber.unsafePoll(), `${name} hangs`)
          yield* assertSound(stage, manager, scope)
        })
      ), 60_000)
  }
})

describe("an interruption between any two operations of removeChat", () => {
  it.effect(
    "leaves the turn running only if the conversation is still there",
    () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const { manager, scope } = yield* make(stage)
          const chat = run(stage, manager.getChat("ada"), "getChat")
          const turn = stage.fork(Stream.runDrain(chat.chatStream("endless")))
          stage.settle()
          const removal = stage.fork(manager.removeChat("ada"))
          stage.breakIn(after, interrupt(removal))
          stage.settle()
          stage.leaveAlone()
          assert.isNotNull(removal.unsafePoll(), "removeChat hangs")
          assert.strictEqual(turn.unsafePoll() === null, run(stage, manager.has("ada"), "has"))
          run(stage, Scope.close(scope, Exit.void), "the end")
          assert.isNotNull(turn.unsafePoll(), "the turn outlives the manager")
        })
      ),
    60_000
  )
})

describe("removeChat between any two operations of a turn", () => {
  it.effect(
    "ends the turn, which is then not stored, or stored completely in the next conversation",
    () =>
      atEveryOperation((stage, after) =>
        Effect.gen(function*() {
          const { manager, scope } = yield* make(stage)
          const chat = run(stage, manager.getChat("ada"), "getChat")
          const turn = stage.fork(chat.chat("a"))
          stage.breakIn(after, () => void stage.start(manager.removeChat("ada")))
          stage.settle()
          stage.leaveAlone()
          const exit = turn.unsafePoll()
          const reason = exit !== null && Exit.isSuccess(exit) ? exit.value.finishReason : assert.fail("the turn hangs")
          const roles = run(stage, chat.history, "the history").map((message) => message.role)
          if (reason === "interrupted") assert.deepStrictEqual(roles, ["system"])
          else assert.include([1, 3], roles.length)
          yield* assertSound(stage, manager, scope)
        })
      ),
    60_000
  )
})
