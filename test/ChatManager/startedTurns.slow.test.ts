/**
 * Interrupts calls that belong to started turns between any two of their operations.
 */
import { type HttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, type Fiber, FiberId, Layer, Option, Scope, Stream } from "effect"
import { ChatManager, HistoryStore, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, held, nothing, options } from "../support/chats.ts"
import { atOperations, run, someOf, type Stage } from "../support/stage.ts"

const config = LLMConfig.make(options({ systemPrompt: "" }))

const make = (stage: Stage) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Effect.context<HttpClient.HttpClient | HistoryStore.HistoryStore>()
    const made = ChatManager.make({ config }).pipe(Scope.extend(scope), Effect.provide(context))
    const manager = run(stage, made, "the manager")
    return { chat: run(stage, manager.getChat("ada"), "getChat"), manager, scope }
  })

type Scene = Effect.Effect.Success<ReturnType<typeof make>> & { readonly stage: Stage; readonly after: number }

/** Plays the scene with a disturbance between operations. Then asserts that the conversation can run another turn. */
const atEach = (step: number, scene: (scene: Scene) => Effect.Effect<void, unknown>) =>
  atOperations(someOf(step), (stage, after) =>
    Effect.gen(function*() {
      const made = yield* make(stage)
      yield* scene({ ...made, after, stage })
      assert.isTrue(Option.isNone(run(stage, made.chat.running, "running")), "a turn is left behind")
      assert.strictEqual(run(stage, made.chat.chat("next"), "the next turn").finishReason, "stop")
      assert.deepStrictEqual(yield* held, nothing)
      run(stage, Scope.close(made.scope, Exit.void), "the end")
    }).pipe(
      Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(echo(), { repeatLast: true })))
    ))

const interrupt = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => (): void => {
  fiber.unsafeInterruptAsFork(FiberId.none)
}

describe("An interruption between any two operations leaves the conversation consistent:", () => {
  const calls = {
    start: ({ chat }: Scene) => chat.start("a", { turnId: "m1" }),
    "a turn with an id": ({ chat }: Scene) => chat.chat("a", { turnId: "m1" }),
    "a streamed turn with an id": ({ chat }: Scene) => Stream.runDrain(chat.chatStream("a", { turnId: "m1" })),
    attach: ({ chat }: Scene) => Effect.zipRight(chat.start("a", { turnId: "m1" }), Stream.runDrain(chat.attach("m1"))),
    rewind: ({ chat }: Scene) => chat.rewind(),
    append: ({ chat }: Scene) => chat.append([{ role: "user", content: "a" }])
  }
  for (const [name, call] of Object.entries(calls)) {
    it.effect(name, () =>
      atEach(name === "rewind" ? 1 : 7, (scene) =>
        Effect.sync(() => {
          const { after, stage } = scene
          const fiber = stage.fork(Effect.asVoid(call(scene)))
          stage.breakIn(after, interrupt(fiber))
          stage.settle()
          stage.leaveAlone()
          assert.isNotNull(fiber.unsafePoll(), `${name} hangs`)
        })), 120_000)
  }
})
