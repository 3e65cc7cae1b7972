import { assert, describe, it } from "@effect/vitest"
import { ChatMessage } from "effect-chat"
import * as Turns from "../support/crash/turns.ts"

describe("The check of a store after a kill", () => {
  const turn = (prompt: string) => [ChatMessage.user(prompt), ChatMessage.assistant(Turns.answerTo(prompt))]
  const [one, two] = [Turns.promptOf("ada", 0, 0), Turns.promptOf("ada", 0, 1)]

  const judge = (id: string, messages: ReadonlyArray<ChatMessage.ChatMessage>, done: ReadonlyArray<string>) =>
    Turns.judge(messages, { ...Turns.nothingExpected(id), done: new Set(done) })

  it("accepts a stored turn that was not reported as done yet", () => {
    const verdict = judge("ada", [...turn(one), ...turn(two)], [one])

    assert.deepStrictEqual(verdict, { reported: 1, found: 2, incomplete: 0, duplicated: 0, lost: 0 })
  })

  it("refuses a missing turn", () => {
    assert.strictEqual(judge("ada", turn(two), [one, two]).lost, 1)
  })

  it("refuses a turn that is stored twice", () => {
    assert.strictEqual(judge("ada", [...turn(one), ...turn(one)], [one]).duplicated, 1)
  })

  it("refuses an incomplete turn", () => {
    assert.strictEqual(judge("ada", [...turn(one), ChatMessage.user(two)], [one]).incomplete, 1)
    assert.strictEqual(judge("ada", turn(one).slice(1), []).incomplete, 1)
  })

  it("refuses an answer that is truncated, or belongs to another prompt or conversation", () => {
    const cut = ChatMessage.assistant(Turns.answerTo(one).slice(0, -1))

    assert.strictEqual(judge("ada", [ChatMessage.user(one), cut], []).incomplete, 2)
    assert.strictEqual(
      judge("ada", [ChatMessage.user(one), ChatMessage.assistant(Turns.answerTo(two))], []).incomplete,
      2
    )
    assert.strictEqual(judge("bob", turn(one), []).incomplete, 2)
  })

  it("refuses a removed turn, and accepts a turn with an unfinished removal", () => {
    const reports = [
      { _tag: "Done", count: 1, id: "ada", prompt: one },
      { _tag: "Removing", count: 1, id: "ada", prompt: one }
    ] as const
    const removing = reports.reduce<ReadonlyMap<string, Turns.Expected>>(Turns.expectedAfter, new Map())
    const removed = Turns.expectedAfter(removing, { _tag: "Removed", count: 1, id: "ada", prompt: one })
    const verdict = (told: ReadonlyMap<string, Turns.Expected>, messages: ReadonlyArray<ChatMessage.ChatMessage>) =>
      Turns.judge(messages, told.get("ada") ?? Turns.nothingExpected("ada"))

    assert.isTrue(Turns.isSound(verdict(removing, turn(one))))
    assert.isTrue(Turns.isSound(verdict(removing, [])))
    assert.isTrue(Turns.isSound(verdict(removed, [])))
    assert.strictEqual(verdict(removed, turn(one)).duplicated, 1)
  })

  it("refuses a copy without a turn of its conversation", () => {
    const id = Turns.copyOf("ada", 0, 9)
    const told = Turns.expectedAfter(new Map(), { _tag: "Copied", count: 1, id, prompts: [one, two] })
    const verdict = (messages: ReadonlyArray<ChatMessage.ChatMessage>) =>
      Turns.judge(messages, told.get(id) ?? Turns.nothingExpected(id))

    assert.isTrue(Turns.isSound(verdict([...turn(one), ...turn(two)])))
    assert.strictEqual(verdict(turn(one)).lost, 1)
  })

  it("accepts a turn with calls and results or with open calls at the end, and refuses a missing result", () => {
    const call = { id: "c", name: "note", arguments: "{}" }
    const calls: ChatMessage.ChatMessage = { role: "assistant", content: "", toolCalls: [call] }
    const asked = [ChatMessage.user(one), calls]
    const result = ChatMessage.toolResult("c", "noted")
    const answer = ChatMessage.assistant(Turns.answerTo(one))

    assert.isTrue(Turns.isSound(judge("ada", [...asked, result, answer], [one])))
    assert.isTrue(Turns.isSound(judge("ada", asked, [])))
    assert.isTrue(Turns.isSound(judge("ada", [...asked, result, ...turn(two)], [two])))
    assert.strictEqual(judge("ada", [...asked, result], [one]).lost, 1)
    assert.isAbove(judge("ada", [...asked, ...turn(two)], []).incomplete, 0)
  })
})
