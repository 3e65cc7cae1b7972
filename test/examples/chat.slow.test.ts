/**
 * The terminal chat, `npm start`.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { LocalServer } from "effect-chat/testing"
import { spawnSync } from "node:child_process"
import { createServer } from "node:http"
import * as Terminal from "../support/terminal.ts"

const served = (options?: LocalServer.Options) =>
  LocalServer.layer(options).pipe(
    Layer.provide(NodeHttpServer.layerServer(createServer, { host: "127.0.0.1", port: 0 }))
  )

const address = Effect.map(LocalServer.LocalServer, ({ url }) => url)

const lines = (text: string) => text.split("\n").filter((line) => line !== "")

/** Exit code 1 and one line on standard error, which is no stack. */
const assertRefused = ({ code, stderr, stdout }: Terminal.Ended, reason: string) => {
  assert.strictEqual(code, 1, stdout + stderr)
  assert.strictEqual(lines(stderr).length, 1, stderr)
  assert.include(stderr, reason)
  assert.notMatch(stderr, /\bat .*:\d+/)
}

const timeout = 30_000

describe("with piped input", () => {
  it.live("treats each line as a turn, and remembers", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* Terminal.run([], { input: "My name is Ada.\n\r\n  \nWhat is my name?" })
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 0)
      const [first = "", ...answers] = lines(stdout)
      assert.match(first, /^Embedded test server http:\/\/127\.0\.0\.1:\d+\/v1, .*no model is inside/)
      assert.deepStrictEqual(answers, [
        "Noted: your name is Ada. (No model is inside me, only the messages that I am sent.)",
        "You told me that your name is Ada."
      ])
    }), timeout)

  it.live("ends with exit code 0 without a line", () =>
    Effect.gen(function*() {
      const { code, stdout } = yield* Terminal.run([])
      assert.strictEqual(code, 0)
      assert.strictEqual(lines(stdout).length, 1)
    }), timeout)

  it.live("prints the part of an answer that fails, and then says why", () =>
    Effect.gen(function*() {
      const ended = yield* Terminal.run([], { env: { LLM_MODEL: "effect-chat-cut" }, input: "Hello\nHello again\n" })
      assertRefused(ended, "TruncatedError")
      assert.deepStrictEqual(lines(ended.stdout).slice(1), ["You said: “Hello”."])
    }), timeout)

  it.live("prints no error if the reader of its output leaves", () =>
    Effect.gen(function*() {
      const command = "yes | (node --import tsx examples/chat.ts; echo \"code $?\" >&2) | head -n 2"
      const { status, stderr, stdout } = yield* Effect.sync(() =>
        spawnSync("sh", ["-c", command], { encoding: "utf8", env: Terminal.scrubbed, timeout })
      )
      assert.strictEqual(status, 0)
      assert.strictEqual(lines(stdout).length, 2)
      assert.deepStrictEqual(lines(stderr), ["code 0"])
    }), timeout)
})

describe("with an argument", () => {
  it.live("answers it and ends", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* Terminal.run(["Is anybody", "there?"], { input: "not read\n" })
      assert.strictEqual(stderr, "")
      assert.strictEqual(code, 0)
      assert.strictEqual(
        lines(stdout).slice(1).join(),
        "You said: “Is anybody there?”. This is turn 1. No model is inside this server."
      )
    }), timeout)

  it.live(
    "names the server and the model, and shows neither the key nor the server's control characters",
    () =>
      Effect.gen(function*() {
        const url = yield* address
        const key = "sk-a-key-that-nobody-may-see"
        const ended = yield* Terminal.run(["Hello"], { env: { LLM_BASE_URL: url, LLM_API_KEY: key, LLM_MODEL: "m" } })
        assert.strictEqual(ended.code, 0, ended.stderr)
        assert.deepStrictEqual(lines(ended.stdout), [
          `Server ${url}, model m.`,
          "\\x1b[31mred\\x1b[0m \\x07 \\x9b2J \\u202eback\tkept",
          "😀 \\x0dline"
        ])
        assert.notInclude(ended.stdout + ended.stderr, key)
      }).pipe(
        Effect.provide(served({
          apiKey: "sk-a-key-that-nobody-may-see",
          answer: () => "\u001b[31mred\u001b[0m \u0007 \u009b2J \u202eback\tkept\r\n😀 \rline"
        }))
      ),
    timeout
  )
})

describe("if the chat cannot start", () => {
  it.live("says in one line that the connection is refused", () =>
    Effect.gen(function*() {
      const env = { LLM_BASE_URL: "http://127.0.0.1:9/v1", LLM_MAX_RETRIES: "0" }
      assertRefused(yield* Terminal.run(["Hello"], { env }), "TransportError: Could not reach http://127.0.0.1:9/v1")
    }), timeout)

  it.live("says in one line that the key is wrong, and does not show it", () =>
    Effect.gen(function*() {
      const key = "sk-wrong-and-secret"
      const ended = yield* Terminal.run([], {
        env: { LLM_BASE_URL: yield* address, LLM_API_KEY: key },
        input: "Hello\nHello\n"
      })
      assertRefused(ended, "AuthenticationError: Incorrect API key provided.")
      assert.notInclude(ended.stdout + ended.stderr, key)
    }).pipe(Effect.provide(served({ apiKey: "sk-right" }))), timeout)

  it.live("says in one line that the address is wrong", () =>
    Effect.gen(function*() {
      const url = yield* address
      assertRefused(
        yield* Terminal.run(["Hello"], { env: { LLM_BASE_URL: url.replace("/v1", "/v2") } }),
        "NotFoundError"
      )
    }).pipe(Effect.provide(served())), timeout)

  for (
    const [name, value, reason] of [
      ["LLM_TEMPERATURE", "9", "LLM_TEMPERATURE: Expected a number between 0 and 2, or null, actual 9"],
      ["LLM_BASE_URL", "not an address", "LLM_BASE_URL: Expected an http or https URL"],
      ["LLM_PROVIDER", "nobody", "LLM_PROVIDER: There is no preset \"nobody\". Expected one of "]
    ] as const
  ) {
    it.live(`says in one line that ${name} is invalid`, () =>
      Effect.gen(function*() {
        const ended = yield* Terminal.run(["Hello"], { env: { [name]: value } })
        assertRefused(ended, reason)
        assert.strictEqual(ended.stdout, "")
      }), timeout)
  }
})

const hasTerminal = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") === true

describe.skipIf(!hasTerminal)("on a terminal (skipped where util-linux has no script)", () => {
  const ctrlC = "\x03"

  it.scopedLive(
    "stops the answer at Ctrl-C, continues, and ends at Ctrl-C on an empty line",
    () =>
      Effect.gen(function*() {
        const terminal = yield* Terminal.open({ LLM_MODEL: "effect-chat-stall" })
        yield* terminal.printed("> ")
        yield* terminal.write("My name is Ada.\r")
        yield* terminal.printed("Noted: your name")
        yield* terminal.write(ctrlC)
        yield* terminal.printed("[stopped]")
        yield* terminal.printed("> ")
        yield* terminal.write("/history\r")
        yield* terminal.printed("model: Noted: your name [stopped]")
        yield* terminal.printed("> ")
        yield* terminal.write(`half a line${ctrlC}`)
        yield* terminal.printed("half a line")
        yield* terminal.write("/nothing\r")
        yield* terminal.printed("There is no command /nothing.")
        yield* terminal.printed("> ")
        yield* terminal.write(ctrlC)
        const { code, stdout } = yield* terminal.end
        assert.strictEqual(code, 0, stdout)
      }),
    timeout
  )

  it.scopedLive("continues after an error, and has commands for the conversation", () =>
    Effect.gen(function*() {
      const url = yield* address
      const terminal = yield* Terminal.open({ LLM_BASE_URL: url, LLM_MAX_RETRIES: "0" })
      yield* terminal.printed(`Server ${url}`)
      yield* terminal.printed("> ")
      const say = (text: string, answer: string) =>
        terminal.write(`${text}\r`).pipe(
          Effect.zipRight(terminal.printed(`\n${answer}`)),
          Effect.zipRight(terminal.printed("> "))
        )
      yield* say("one", "1")
      yield* say("fail", "ServerError: ")
      yield* say("/system You are brief.", "The system prompt is: You are brief.")
      yield* say("two", "2")
      yield* say("/usage", "Tokens so far: ")
      yield* say("/clear", "The history is empty.")
      yield* say("/history", "system: You are brief.")
      yield* say("three", "1")
      yield* terminal.write("/exit\r")
      const { code, stdout } = yield* terminal.end
      assert.strictEqual(code, 0, stdout)
    }).pipe(Effect.provide(served({
      answer: ({ messages }) => {
        if (messages.at(-1)?.content === "fail") throw new Error("as it was asked to")
        return String(messages.filter(({ role }) => role === "user").length)
      }
    }))), timeout)
})
