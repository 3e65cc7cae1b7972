/**
 * Runs the `program` that a module exports, with a conversation, and prints its result: `runBlock.ts FILE`.
 */
import type { FileSystem, HttpClient, Path } from "@effect/platform"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, type Scope } from "effect"
import { LLMChat } from "effect-chat"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"

type Requirements = LLMChat.LLMChat | HttpClient.HttpClient | FileSystem.FileSystem | Path.Path | Scope.Scope

interface Block {
  readonly program: Effect.Effect<unknown, unknown, Requirements>
}

const Main = LLMChat.layerConfig.pipe(
  Layer.provideMerge(NodeHttpClient.layer),
  Layer.provideMerge(NodeContext.layer)
)

Effect.promise((): Promise<Block> => import(pathToFileURL(resolve(process.argv[2] ?? "")).href)).pipe(
  Effect.flatMap(({ program }) => program),
  Effect.flatMap((result) => Console.log("Result:", result)),
  Effect.scoped,
  Effect.provide(Main),
  NodeRuntime.runMain
)
