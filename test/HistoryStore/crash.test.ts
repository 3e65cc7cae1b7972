import { assert, describe, it } from "@effect/vitest"
import { ChatMessage } from "effect-chat"
import * as Turns from "../support/crash/turns.ts"

describe("What is found after a kill", () => {
  const turn = (prompt: string) => [ChatMessage.user(prompt), ChatMessage.assistant(Turns.answerTo(prompt))]
  const [one, two] = [Turns.promptOf("ada", 0, 0), Turns.promptOf("ada", 0, 1)]

  it("is correct if a turn is stored that was not reported as done yet", () => {
    const verdict = Turns.judge("ada", [...turn(one), ...turn(two)], [one])

    assert.deepStrictEqual(verdict, { told: 1, found: 2, torn: 0, doubled: 0, lost: 0 })
  })

  it("is not correct if a turn is missing", () => {
    assert.strictEqual(Turns.judge("ada", turn(two), [one, two]).lost, 1)
  })

  it("is not correct if a turn is stored twice", () => {
    assert.strictEqual(Turns.judge("ada", [...turn(one), ...turn(one)], [one]).doubled, 1)
  })

  it("is not correct if half a turn is stored", () => {
    assert.strictEqual(Turns.judge("ada", [...turn(one), ChatMessage.user(two)], [one]).torn, 1)
    assert.strictEqual(Turns.judge("ada", turn(one).slice(1), []).torn, 1)
  })

  it("is not correct if an answer is cut off, or belongs to another prompt or conversation", () => {
    const cut = ChatMessage.assistant(Turns.answerTo(one).slice(0, -1))

    assert.strictEqual(Turns.judge("ada", [ChatMessage.user(one), cut], []).torn, 2)
    assert.strictEqual(
      Turns.judge("ada", [ChatMessage.user(one), ChatMessage.assistant(Turns.answerTo(two))], []).torn,
      2
    )
    assert.strictEqual(Turns.judge("bob", turn(one), []).torn, 2)
  })
})
