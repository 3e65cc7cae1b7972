/**
 * Keeps secrets out of the HTTP client's spans: servers can repeat the key in headers, and sockets in errors.
 */
import * as Headers from "@effect/platform/Headers"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"
import type { LLMConfig } from "../../LLMConfig.ts"
import { scrub, scrubAll, scrubCause, type Secrets, secretsOf } from "../errors/redaction.ts"
import { isRecord } from "../json.ts"

/** The exit without errors of HTTP clients, which contain the request with its key. */
const scrubExit = (exit: Exit.Exit<unknown, unknown>, secrets: Secrets): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit)) return exit
  return Exit.failCause(Cause.map(exit.cause, (error) => {
    if (!(error instanceof Error) || !isRecord(error) || !("request" in error)) return scrubCause(error, secrets)
    const clean = new Error(scrub(error.message, secrets), { cause: scrubCause(error.cause, secrets) })
    clean.name = error.name
    return clean
  }))
}

/** A span that removes secrets from its attributes, events and exit. */
const scrubSpan = (span: Tracer.Span, secrets: Secrets): Tracer.Span => {
  const clean = (value: unknown): unknown => scrubAll(value, secrets)
  const overrides: Pick<Tracer.Span, "attribute" | "event" | "end"> = {
    attribute: (key, value) => span.attribute(key, clean(value)),
    event: (name, time, attributes = {}) =>
      span.event(
        scrub(name, secrets),
        time,
        Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, clean(value)]))
      ),
    end: (time, exit) => span.end(time, scrubExit(exit, secrets))
  }
  return new Proxy(span, {
    get: (target, key) => {
      if (Object.hasOwn(overrides, key)) return Reflect.get(overrides, key)
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === "function" ? value.bind(target) : value
    }
  })
}

const scrubTracer = (tracer: Tracer.Tracer, secrets: Secrets): Tracer.Tracer =>
  Tracer.make({
    span: (...args) => scrubSpan(tracer.span(...args), secrets),
    context: (f, fiber) => tracer.context(f, fiber)
  })

/** Keeps the config's secrets, and the values of all its headers, out of the spans of an effect. */
export const withoutSecretsInSpans = (config: LLMConfig) => {
  const secrets = secretsOf(config)
  const names = [...Object.keys(config.headers).map((name) => name.toLowerCase()), config.wire.authHeader]
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    secrets.maxEncodedLength === 0 && Object.keys(config.headers).length === 0 ? effect : Effect.flatMap(
      Effect.tracer,
      (tracer) =>
        effect.pipe(
          Effect.locallyWith(Headers.currentRedactedNames, (redacted) => [...redacted, ...names]),
          Effect.withTracer(scrubTracer(tracer, secrets))
        )
    )
}
