/**
 * What a turn costs in a conversation of 10 000 messages, as a multiple of one of 100: with a window of 20 turns, and with
 * the whole history for comparison of what is read.
 *
 * The conversations are in SQLite. Each turn is the first one of a session, which reads the conversation, or a later one.
 * The two take turns, and the medians of the rounds are printed. Run with `npm run bench:longHistories -- [ROUNDS]`.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { ChatManager, ChatMessage, ChatResponse, HistoryStore, HistoryWindow, LLMConfig } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { ScriptedHttpClient } from "effect-chat/testing"

const rounds = Number(process.argv[2] ?? 40)
const sizes = [100, 10_000]

const config = LLMConfig.make({ baseUrl: "http://server/v1" })

const store = Effect.forEach(sizes, (messages) =>
  Effect.flatMap(HistoryStore.HistoryStore, (store) =>
    store.commit({
      id: `${messages}`,
      expected: { version: 0 },
      turns: Array.from({ length: messages / 2 }, () => ({
        messages: [ChatMessage.user("What is it? ".repeat(10)), ChatMessage.assistant("It is this. ".repeat(40))]
      })),
      usage: ChatResponse.emptyUsage,
      systemPrompt: "",
      settings: {}
    })))

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(effect, () => performance.now() - start)
  })

/** The milliseconds of the first turn of a session, and of the second. */
const session = (window: HistoryWindow.HistoryWindow, messages: number) =>
  Effect.scoped(
    Effect.flatMap(ChatManager.make({ config, window }), (manager) =>
      Effect.flatMap(manager.getChat(`${messages}`), (chat) =>
        Effect.all([timed(chat.chat("Hello")), timed(chat.chat("Hello"))]).pipe(
          // The history stays as long as it was.
          Effect.tap(() =>
            chat.rewind(2)
          )
        )))
  )

const median = (values: ReadonlyArray<number>): number =>
  Array.from(values).sort((a, b) => a - b)[values.length >> 1] ?? NaN

const compare = (name: string, window: HistoryWindow.HistoryWindow) =>
  Effect.gen(function*() {
    const measured: Array<ReadonlyArray<readonly [number, number]>> = []
    for (let round = 0; round < rounds + 3; round++) {
      const both = yield* Effect.forEach(sizes, (messages) => session(window, messages))
      if (round >= 3) measured.push(both)
    }
    const at = (size: number, turn: 0 | 1) => median(measured.map((both) => both[size]?.[turn] ?? NaN))
    return [0, 1].map((turn) => {
      const [short, long] = turn === 0 ? [at(0, 0), at(1, 0)] : [at(0, 1), at(1, 1)]
      return {
        window: name,
        turn: turn === 0 ? "first of a session" : "later",
        "100 messages, ms": short.toFixed(2),
        "10 000 messages, ms": long.toFixed(2),
        "×": (long / short).toFixed(2)
      }
    })
  })

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-bench-" })
  const layer = Layer.merge(
    Sqlite.layer({ filename: `${folder}/sqlite` }),
    ScriptedHttpClient.layer(() => ScriptedHttpClient.tokens(["Yes."]))
  )
  const rows = yield* Effect.provide(
    Effect.zipRight(
      store,
      Effect.all([
        compare("lastTurns(20)", HistoryWindow.lastTurns(20)),
        compare("tokens(2000)", HistoryWindow.tokens(2000)),
        compare("all", HistoryWindow.all)
      ])
    ),
    layer
  )
  yield* Console.table(rows.flat())
})

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
