/**
 * The installed package in a browser: bundled, and run by Chromium on a page of another origin than the server.
 */
import { HttpMiddleware, HttpRouter, HttpServer, HttpServerResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { LocalServer } from "effect-chat/testing"
import * as esbuild from "esbuild"
import { existsSync } from "node:fs"
import * as Playwright from "playwright-core"
import { Consumer, copyPrograms } from "../support/consumer.ts"
import * as Expected from "../support/runtimes/expected.ts"
import type { Page } from "../support/runtimes/page.ts"

/** What the page has. */
declare const conversations: Page

const executablePath = ["/usr/bin/chromium", "/usr/bin/google-chrome"].find((file) => existsSync(file))

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run"
]

/** The script of the page. Nothing of Node is there for it. */
const bundle = Effect.gen(function*() {
  const directory = yield* copyPrograms("page.ts", "conversation.ts")
  const { outputFiles } = yield* Effect.promise(() =>
    esbuild.build({
      absWorkingDir: directory,
      entryPoints: ["page.ts"],
      bundle: true,
      platform: "browser",
      format: "esm",
      write: false
    })
  )
  return outputFiles[0]?.text ?? ""
})

/** The address of the page. */
class Site extends Context.Tag("effect-chat/test/package/browser.slow.test/Site")<Site, { readonly url: string }>() {}

const site = Layer.scoped(
  Site,
  Effect.gen(function*() {
    const script = yield* bundle
    yield* HttpRouter.empty.pipe(
      HttpRouter.get("/", HttpServerResponse.html(`<!doctype html><script type="module" src="/page.js"></script>`)),
      HttpRouter.get("/page.js", HttpServerResponse.text(script, { contentType: "text/javascript" })),
      HttpServer.serveEffect()
    )
    return { url: yield* HttpServer.addressFormattedWith(Effect.succeed) }
  })
).pipe(Layer.provide(Layer.fresh(Expected.httpServer)))

/** Lets pages of other origins send what servers of models commonly allow, and no further header. */
const shared = Layer.effect(
  HttpServer.HttpServer,
  Effect.map(HttpServer.HttpServer, (server) => {
    const cors = HttpMiddleware.cors({ allowedMethods: ["POST"], allowedHeaders: ["authorization", "content-type"] })
    return HttpServer.make({ address: server.address, serve: (app) => server.serve(cors(app)) })
  })
).pipe(Layer.provide(Expected.httpServer))

const server = LocalServer.layer(Expected.options).pipe(Layer.provide(shared))

class Browser extends Effect.Service<Browser>()("effect-chat/test/package/browser.slow.test/Browser", {
  scoped: Effect.acquireRelease(
    Effect.promise(() => Playwright.chromium.launch({ executablePath: executablePath ?? "", args })),
    (browser) => Effect.promise(() => browser.close())
  )
}) {}

/** A new profile, which has nothing stored, and the page in it. */
const openPage = Effect.gen(function*() {
  const browser = yield* Browser
  const { url } = yield* Site
  const context = yield* Effect.acquireRelease(
    Effect.promise(() => browser.newContext()),
    (context) => Effect.promise(() => context.close())
  )
  const page = yield* Effect.promise(() => context.newPage())
  const errors: Array<string> = []
  page.on("pageerror", (error) => errors.push(error.message))
  yield* Effect.promise(() => page.goto(url))
  return { errors, page }
})

if (executablePath === undefined) {
  describe.skip("The installed package in a browser (skipped: no Chromium is installed)")
} else {
  const services = Layer.mergeAll(site, server, Browser.Default).pipe(
    Layer.provide(Consumer.Default),
    Layer.provideMerge(NodeContext.layer)
  )
  layer(services, { excludeTestServices: true, timeout: 240_000 })("the installed package in a browser", (it) => {
    it.effect("chats, streams, stops and stores on a page of another origin", () =>
      Effect.gen(function*() {
        const { url } = yield* LocalServer.LocalServer
        const { errors, page } = yield* openPage

        const report = yield* Effect.promise(() => page.evaluate((url) => conversations.talk(url), url))

        yield* Expected.assertRight(report)
        assert.deepStrictEqual(errors, [])
      }).pipe(Effect.scoped), 60_000)

    it.effect("finds the conversation after the page was loaded again", () =>
      Effect.gen(function*() {
        const { url } = yield* LocalServer.LocalServer
        const { page } = yield* openPage

        const { stopped } = yield* Effect.promise(() => page.evaluate((url) => conversations.talk(url), url))
        yield* Effect.promise(() => page.reload())
        const history = yield* Effect.promise(() => page.evaluate((url) => conversations.load(url), url))

        assert.deepStrictEqual(history, Expected.history(stopped[0]))
      }).pipe(Effect.scoped), 60_000)

    it.effect("fails with the answer if the storage of the page is full", () =>
      Effect.gen(function*() {
        const { url } = yield* LocalServer.LocalServer
        const { errors, page } = yield* openPage

        const failure = yield* Effect.promise(() => page.evaluate((url) => conversations.talkWhileFull(url), url))

        assert.deepStrictEqual(failure, ["HistoryStoreError", "You said one"])
        assert.deepStrictEqual(errors, [])
      }).pipe(Effect.scoped), 60_000)
  })
}
