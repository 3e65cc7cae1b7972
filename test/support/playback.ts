/**
 * A loopback HTTP server that answers with given bytes, in given pieces, and counts requests and connections.
 */
import { Effect, type Scope } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** A response to play back. */
export interface Playback {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** One network write each. */
  readonly pieces: ReadonlyArray<Uint8Array>
  /** What follows the pieces: the end (default), silence, or a reset of the connection. */
  readonly ending?: "end" | "stall" | "reset" | undefined
}

/** A server that plays back. */
export interface Server {
  /** Its address, which ends in `/v1`. */
  readonly url: string
  readonly requests: () => number
  /** Connections so far. */
  readonly connections: () => number
  /** Currently open connections. */
  readonly open: () => number
  /** Answers whose client closed the connection before their end. */
  readonly left: () => number
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const play = async (playback: Playback, response: ServerResponse): Promise<void> => {
  response.writeHead(playback.status, playback.headers)
  for (const piece of playback.pieces) {
    response.write(piece)
    await nextTurn()
  }
  if (playback.ending === "stall") response.flushHeaders()
  else if (playback.ending === "reset") response.socket?.resetAndDestroy()
  else response.end()
}

/** A server that answers by a function of the request. If it returns undefined, the server never sends headers. */
export const serve = (
  answer: (request: IncomingMessage, count: number) => Playback | undefined
): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Server & { readonly close: () => void }>((resume) => {
      let count = 0
      let connections = 0
      let open = 0
      let left = 0
      const server = createServer((request, response) => {
        request.resume()
        response.on("close", () => {
          if (!response.writableEnded) left++
        })
        request.on("end", () => {
          const playback = answer(request, count++)
          if (playback !== undefined) void play(playback, response)
        })
      })
      server.on("connection", (socket) => {
        connections++
        open++
        socket.on("close", () => open--)
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({
          url: `http://127.0.0.1:${port}/v1`,
          requests: () => count,
          connections: () => connections,
          open: () => open,
          left: () => left,
          close: () => {
            server.closeAllConnections()
            server.close()
          }
        }))
      })
    }),
    (server) => Effect.sync(server.close)
  )

/** Splits bytes into pieces of 1 to `most`, by a generator of numbers in [0, 1). */
export const cut = (bytes: Uint8Array, most: number, random: () => number): ReadonlyArray<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + Math.floor(random() * most)
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}

/** A repeatable generator of numbers in [0, 1) (mulberry32). */
export const generator = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
