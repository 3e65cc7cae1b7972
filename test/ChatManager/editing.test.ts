import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Ref, Stream, TestClock } from "effect"
import { ChatManager, ChatMessage, HistoryStore, HistoryWindow, LLMConfig, Turn } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, requests, sent, transcript } from "../support/chats.ts"

const config = LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "", maxRetries: 0, onInterrupt: "keep" })

const scripted = (script: ScriptedHttpClient.Script) =>
  Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(script, { repeatLast: true })))

const slowly = scripted((request) => ScriptedHttpClient.delayed("1 second", echo()(request)))

const question = [ChatMessage.user("a"), ChatMessage.assistant("b")]
const other = [ChatMessage.user("x"), ChatMessage.assistant("y")]

/** The same conversation in two programs that share a store. */
const two = (window: HistoryWindow.HistoryWindow = HistoryWindow.all) =>
  Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    const program = Effect.provideService(
      Effect.flatMap(ChatManager.make({ config, window }), (manager) => manager.getChat("ada")),
      HistoryStore.HistoryStore,
      { ...store, isShared: true }
    )
    return yield* Effect.all([program, program])
  })

describe("append", () => {
  it.scoped("adds messages after changes of another program, without a conflict", () =>
    Effect.gen(function*() {
      const [one, another] = yield* two()
      yield* one.append(question)
      yield* another.append(other)
      yield* one.append(question)
      yield* another.rewind(2)
      yield* one.append(other)

      assert.deepStrictEqual(yield* transcript(one), ["user: a", "assistant: b", "user: x", "assistant: y"])
      assert.deepStrictEqual(yield* transcript(another), yield* transcript(one))
    }).pipe(scripted(echo())))
})

describe("A regenerated turn", () => {
  it.scoped("keeps messages that were appended meanwhile", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada")
      yield* chat.append(question)

      const again = yield* Effect.fork(chat.regenerate())
      yield* TestClock.adjust("500 millis")
      yield* chat.append([ChatMessage.assistant("reminder")])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(again)

      assert.deepStrictEqual(yield* transcript(chat), ["assistant: reminder", "user: a", "assistant: re a"])
    }).pipe(slowly))

  it.scoped("keeps messages that another program stored during the retry with a smaller window", () =>
    Effect.gen(function*() {
      const [one, another] = yield* two(HistoryWindow.withShrink(HistoryWindow.all))
      yield* one.append(question)
      yield* one.append(question)

      const again = yield* Effect.fork(one.regenerate())
      yield* TestClock.adjust("500 millis")
      yield* another.append(other)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(again)

      assert.deepStrictEqual((yield* transcript(one)).slice(2), [
        "user: x",
        "assistant: y",
        "user: a",
        "assistant: again"
      ])
    }).pipe(scripted([
      ScriptedHttpClient.delayed(
        "1 second",
        ScriptedHttpClient.json({ error: { code: "context_length_exceeded", message: "too long" } }, { status: 400 })
      ),
      answer("again")
    ])))

  it.scoped("fails with a conflict if another program removed turns during the retry with a smaller window", () =>
    Effect.gen(function*() {
      const [one, another] = yield* two(HistoryWindow.withShrink(HistoryWindow.all))
      yield* one.append(question)
      yield* one.append(question)

      const again = yield* Effect.fork(Effect.flip(one.regenerate()))
      yield* TestClock.adjust("500 millis")
      yield* another.rewind()
      yield* another.append(other)
      yield* TestClock.adjust("1 second")

      assert.strictEqual((yield* Fiber.join(again))._tag, "ConflictError")
      assert.deepStrictEqual((yield* transcript(one)).slice(2), ["user: x", "assistant: y"])
    }).pipe(scripted([
      ScriptedHttpClient.delayed(
        "1 second",
        ScriptedHttpClient.json({ error: { code: "context_length_exceeded", message: "too long" } }, { status: 400 })
      ),
      answer("again")
    ])))

  it.scoped("can be saved after a conflict, after the messages of another program", () =>
    Effect.gen(function*() {
      const [one, another] = yield* two()
      yield* one.append(question)

      const again = yield* Effect.fork(Effect.flip(Stream.runDrain(one.chatStream(Turn.regenerate()))))
      yield* TestClock.adjust("500 millis")
      yield* another.append(other)
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(again)
      const isSaved = yield* one.save

      assert.strictEqual(error._tag, "ConflictError")
      assert.isTrue(isSaved)
      assert.deepStrictEqual(yield* transcript(one), ["user: x", "assistant: y", "user: a", "assistant: re a"])
    }).pipe(slowly))

  it.scoped("sends only its own prompt if the next turn also begins with a prompt", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada")
      yield* chat.append([ChatMessage.user("note")])
      yield* chat.append(question)
      const { turns } = Option.getOrThrow(
        yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => store.load("ada"))
      )

      yield* chat.chat(Turn.regenerate(turns[0]?.turnId))

      assert.deepStrictEqual(sent((yield* requests)[0]), ["user: note"])
      assert.deepStrictEqual(yield* transcript(chat), ["user: note", "assistant: re note"])
    }).pipe(scripted(echo())))

  it.scoped("is refused if it has no prompt, and stays unchanged", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada")
      yield* chat.append([ChatMessage.assistant("Hello!")])

      const error = yield* Effect.flip(chat.regenerate())

      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.lengthOf(yield* requests, 0)
      assert.deepStrictEqual(yield* transcript(chat), ["assistant: Hello!"])
    }).pipe(scripted(echo())))

  it.scoped("ends immediately when it is stopped while the store is read", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const delay = yield* Ref.make(0)
      const version = (id: string) => Effect.zipRight(Effect.flatMap(Ref.get(delay), Effect.sleep), store.version(id))
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, {
        ...store,
        isShared: true,
        version
      })
      const chat = yield* manager.getChat("ada")
      const append = yield* Effect.fork(chat.append(question))
      yield* TestClock.adjust(0)
      yield* Fiber.join(append)
      yield* Ref.set(delay, 5000)

      const again = yield* Effect.fork(chat.regenerate())
      yield* TestClock.adjust("1 second")
      yield* chat.stop
      yield* TestClock.adjust(0)
      const ended = Option.getOrThrow(yield* Fiber.poll(again))

      assert.strictEqual(Exit.isSuccess(ended) ? ended.value.finishReason : "", "interrupted")
      assert.lengthOf(yield* requests, 0)
    }).pipe(scripted(echo())))
})
