import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { ChatCompletions } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, emittedText, failure, layer, requestOf, stream, streamFrom } from "../support/wire/ask.ts"
import { bytes, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

const hello = says("Hé") + says("llo") + ends() + done

const isHello = (body: Parameters<typeof stream>[0]) =>
  Effect.map(stream(body), (received) => {
    assert.strictEqual(answer(received).text, "Héllo")
    assert.strictEqual(emittedText(received), "Héllo")
    assert.strictEqual(answer(received).finishReason, "stop")
  })

describe("framing", () => {
  describe("line ends", () => {
    it.effect("lines end with LF", () => isHello(hello))

    it.effect("lines end with CRLF", () => isHello(hello.replaceAll("\n", "\r\n")))

    it.effect("lines end with a bare CR", () => isHello(hello.replaceAll("\n", "\r")))

    it.effect("an event whose lines end with a bare CR is emitted when it arrives, not with the next", () => {
      const [first = ""] = hello.replaceAll("\n", "\r").split(/(?<=\r\r)/)
      return Effect.gen(function*() {
        const completions = yield* ChatCompletions.ChatCompletions
        const first = yield* completions.stream(requestOf()).pipe(Stream.take(1), Stream.runCollect)
        assert.strictEqual(Chunk.size(first), 1)
      }).pipe(Effect.provide(layer([ScriptedHttpClient.bytes([first, ScriptedHttpClient.never])])))
    })

    it.effect("line ends may be mixed within a stream", () => {
      const lineEnds = ["\r\n", "\n", "\r"]
      let at = 0
      return isHello(hello.replace(/\n/g, () => lineEnds[at++ % 3] ?? "\n"))
    })

    it.effect("a CRLF that is split between two chunks is one line end", () =>
      isHello(hello.replaceAll("\n", "\r\n").split(/(?<=\r)/)))

    it.effect("a blank line that is split between two chunks ends one event", () => isHello(hello.split(/(?<=\n)/)))

    it.effect("every byte may arrive alone", () =>
      isHello(Array.from(bytes(hello.replaceAll("\n", "\r\n")), (byte) => Uint8Array.of(byte))))
  })

  describe("text", () => {
    it.effect("a BOM before the first event is ignored", () => isHello(`\uFEFF${hello}`))

    it.effect("a BOM that arrives byte by byte is ignored", () =>
      isHello([Uint8Array.of(0xef), Uint8Array.of(0xbb), Uint8Array.of(0xbf), hello]))

    it.effect("a character may be split between chunks at any of its bytes", () =>
      Effect.forEach([1, 2, 3], (at) => {
        const body = bytes(says("a😀b") + ends() + done)
        const start = body.indexOf(0xf0)
        return Effect.map(
          stream([body.subarray(0, start + at), body.subarray(start + at)]),
          (received) => assert.strictEqual(answer(received).text, "a😀b")
        )
      }))

    it.effect("an incomplete character at the end of the body is a replacement character", () =>
      Effect.map(
        stream([bytes(ends() + "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n:"), Uint8Array.of(0xe4)]),
        (
          received
        ) => assert.strictEqual(answer(received).text, "x")
      ))

    it.effect("bytes that are not UTF-8 are replacement characters in the text", () => {
      const [before = "", after = ""] = says("a|b").split("|")
      return Effect.map(
        stream([bytes(before), Uint8Array.of(0xff), bytes(after + ends() + done)]),
        (received) => assert.strictEqual(answer(received).text, "a\uFFFDb")
      )
    })

    it.effect("escaped surrogates of a pair in two chunks are one character", () =>
      Effect.map(
        stream(
          "data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\\ude00\"}}]}\n\n" +
            ends() + done
        ),
        (received) => assert.strictEqual(answer(received).text, "😀")
      ))
  })

  describe("fields", () => {
    it.effect("comments are not events", () =>
      isHello(`: OPENROUTER PROCESSING\n\n${says("Hé")}: keep-alive\n\n:\n${says("llo")}${ends()}${done}`))

    it.effect("data needs no space after its colon", () => isHello(hello.replaceAll("data: ", "data:")))

    it.effect("an event at the end of the body is complete, with or without a blank line", () =>
      isHello(hello.trimEnd()))

    it.effect("a chunk at the end of the body is read, with or without a line end", () =>
      Effect.map(stream(says("a") + ends().trimEnd()), (received) => assert.strictEqual(answer(received).text, "a")))

    it.effect("id and retry fields change nothing", () =>
      isHello(`retry: 3000\n\nid: 1\n${says("Hé")}id: 2\nretry: 1\n${says("llo")}retry: never\n${ends()}${done}`))

    it.effect("the name of an event changes nothing, unless it is error", () =>
      isHello(`event: message\n${says("Hé")}event: chat.completion.chunk\n${says("llo")}event: done\n${ends()}${done}`))

    it.effect("several data lines of an event are joined", () =>
      isHello(
        `data: {"choices":\ndata: [{"delta":{"content":\ndata: "Héllo"}}]}\n\n${ends()}${done}`
      ))

    it.effect("events may be separated by a single line break", () => isHello(hello.replaceAll("\n\n", "\n")))

    it.effect("blank lines before the first event are ignored", () => isHello(`\n\n \n${hello}`))

    it.effect("additional blank lines between events are ignored", () => isHello(hello.replaceAll("\n\n", "\n\n\n\n")))

    it.effect("a chunk on a line without data: is read", () =>
      isHello(`: comment\n\n${JSON.stringify(delta({ content: "Hé" }))}\n\n${says("llo")}${ends()}${done}`))

    it.effect("a body with one chunk per line and no fields is read as a stream", () =>
      Effect.map(
        stream(hello.replaceAll("data: ", "").replaceAll("\n\n", "\n").replace("[DONE]\n", ""), {
          contentType: "application/x-ndjson"
        }),
        (received) => assert.strictEqual(answer(received).text, "Héllo")
      ))

    it.effect("each chunk of a body with one chunk per line is emitted as it arrives, until a line with [DONE]", () => {
      const line = (value: object) => `${JSON.stringify(value)}\n`
      const lines = [line(delta({ content: "a" })), line(delta({ content: "b" })), "[DONE]\n", ScriptedHttpClient.never]
      return Effect.map(streamFrom([ScriptedHttpClient.bytes(lines)]), (received) => {
        assert.strictEqual(emittedText(received), "ab")
        assert.strictEqual(answer(received).text, "ab")
      })
    })

    it.effect("lines with field names in capitals are neither fields, by the standard, nor an answer", () =>
      Effect.map(stream(hello.replaceAll("data:", "DATA:")), (received) => {
        assert.include(failure(received, "ServerError").message, "DATA:")
      }))

    it.effect("text after a line with [DONE] is ignored, for any split", () => {
      const body = "word\n[DONE]\nother\n\n"
      return Effect.gen(function*() {
        for (const chunks of [[`data: {}\n\n${body}`], ["data: {}\n\n", ...body.split("")]]) {
          const error = failure(yield* streamFrom([ScriptedHttpClient.bytes(chunks)]), "ServerError")
          assert.strictEqual(error.message, "word")
        }
      })
    })

    it.effect("a document on one line with blank lines after it is a document", () =>
      Effect.map(stream(`${JSON.stringify(completion({ content: "a" }))}\n\n \n`), (received) => {
        assert.strictEqual(answer(received).text, "a")
      }))

    it.effect("the size limit applies to each of the events that a single line break separates", () =>
      Effect.map(stream(hello.replaceAll("\n\n", "\n"), { config: { maxEventSize: 200 } }), (received) => {
        assert.strictEqual(answer(received).text, "Héllo")
      }))
  })

  describe("keep-alives", () => {
    const keepAlives = {
      "a comment as data": "data: : keepalive\n\n",
      "empty data": "data:\n\n",
      "blank data": "data:  \n\n",
      "an empty text": "data: \"\"\n\n",
      "null": "data: null\n\n",
      "a bare word": "data: ping\n\n",
      "a named event": "event: ping\ndata: {}\n\n",
      "a named event with a time": "event: keepalive\ndata: 12:00\n\n",
      "an object that says so": "data: {\"type\":\"ping\"}\n\n",
      "an empty object": "data: {}\n\n",
      "a chunk without choices": "data: {\"choices\":[]}\n\n"
    }
    for (const [name, event] of Object.entries(keepAlives)) {
      it.effect(`${name} is skipped, at the start and within an answer`, () =>
        isHello(event + says("Hé") + event + says("llo") + event + ends() + event + done))
    }
  })

  describe("[DONE]", () => {
    const doneEvents = {
      "without a space": "data:[DONE]\n\n",
      "with two spaces": "data:  [DONE]\n\n",
      "with a CR": "data: [DONE]\r\n\r\n",
      "with a name": "event: done\ndata: [DONE]\n\n",
      "as JSON text": "data: \"[DONE]\"\n\n",
      "without a blank line": "data: [DONE]"
    }
    for (const [name, doneEvent] of Object.entries(doneEvents)) {
      it.effect(`${name} ends the answer`, () =>
        Effect.map(stream(says("a") + doneEvent), (received) => assert.strictEqual(answer(received).text, "a")))
    }

    it.effect("makes data after it ignored", () => isHello(`${hello}data: {"error":"late"}\n\nnonsense\n\n`))
  })

  describe("broken events", () => {
    it.effect("an event that is not JSON fails with the part that arrived", () =>
      Effect.map(stream(says("a") + "data: {nonsense}\n\n" + says("b") + ends() + done), (received) => {
        const error = failure(received, "MalformedResponseError")
        assert.strictEqual(error.partial?.text, "a")
        assert.strictEqual(error.body, "{nonsense}")
        assert.isFalse(error.isRetryable)
        assert.strictEqual(emittedText(received), "a")
      }))

    it.effect("an event that is JSON but not an object fails", () =>
      Effect.map(stream(says("a") + "data: 42\n\n"), (received) => {
        assert.strictEqual(failure(received, "MalformedResponseError").partial?.text, "a")
      }))

    it.effect("an event that the end of the body cuts off is a TruncatedError, not a MalformedResponseError", () =>
      Effect.map(stream(says("a") + says("bcd").slice(0, 30)), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").partial?.text, "a")
      }))

    it.effect("an event that is cut off after the finish reason is ignored", () =>
      Effect.map(
        stream(says("a") + ends() + data(delta({}, { usage: { prompt_tokens: 1 } })).slice(0, 40)),
        (received) => assert.strictEqual(answer(received).text, "a")
      ))

    it.effect("a [DONE] that is cut off does not complete the answer", () =>
      Effect.map(stream(says("a") + "data: [DON"), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").partial?.text, "a")
      }))

    it.effect("a field name that is cut off is ignored", () =>
      Effect.map(stream("data"), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").message, "The server sent an empty answer")
      }))
  })
})
