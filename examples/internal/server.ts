/**
 * The server that an example talks to: the one that the environment names, else a small one inside this process.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Config, ConfigProvider, Context, Effect, Layer } from "effect"
import { LLMConfig } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import { createServer } from "node:http"

/** Where the example's chats go, and a line that says so. */
export class Server extends Context.Tag("effect-chat/examples/internal/server")<Server, {
  readonly config: LLMConfig.LLMConfig
  readonly about: string
}>() {}

/** Whether one of the variables that name a server is set. */
const isNamed = Effect.exists(["LLM_BASE_URL", "LLM_PROVIDER", "OPENAI_BASE_URL"], (name) =>
  Config.string(name).pipe(
    Effect.map((value) => value.trim() !== ""),
    Effect.orElseSucceed(() => false)
  ))

const named = Layer.effect(
  Server,
  Effect.map(LLMConfig.config, (config) => ({
    config,
    about: `Server ${config.baseUrl}, model ${config.model}.`
  }))
)

/** Other settings of the environment count here too; the address does not come from there. */
const embedded = Layer.effect(
  Server,
  Effect.gen(function*() {
    const { url } = yield* LocalServer.LocalServer
    const settings = ConfigProvider.fromMap(new Map([["LLM_BASE_URL", url]])).pipe(
      ConfigProvider.orElse(() => ConfigProvider.fromEnv()),
      ConfigProvider.orElse(() => ConfigProvider.fromMap(new Map([["LLM_MODEL", "effect-chat-local"]])))
    )
    const config = yield* Effect.withConfigProvider(LLMConfig.config, settings)
    return { config, about: `Embedded test server ${url}, model name ${config.model}: no model is inside.` }
  })
)

/** A server on a free port of this machine that only this machine reaches. */
export const layerLocal = (options?: LocalServer.Options) =>
  LocalServer.layer(options).pipe(
    Layer.provide(NodeHttpServer.layerServer(createServer, { host: "127.0.0.1", port: 0 }))
  )

/** `options` are for the embedded server. */
export const layer = (options?: LocalServer.Options) =>
  Layer.unwrapEffect(
    Effect.if(isNamed, {
      onTrue: () => Effect.succeed(named),
      onFalse: () => Effect.succeed(Layer.provide(embedded, layerLocal(options)))
    })
  )
