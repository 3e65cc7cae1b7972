/**
 * `effect` for tests that were written for version 4: the names that they use, by those of version 3.
 */
import * as Effect3 from "effect"

export * from "effect"

const { Context: Context3, Effect: Effect3_, Schema: Schema3, Stream: Stream3 } = Effect3

export const Schema = {
  ...Schema3,
  Record: (key: Effect3.Schema.Schema.All & typeof Schema3.String, value: Effect3.Schema.Schema.All) =>
    Schema3.Record({ key, value }),
  Literals: (literals: ReadonlyArray<string>) => Schema3.Literal(...literals),
  optionalKey: Schema3.optional,
  encodeEffect: Schema3.encode
}

export const Context = { ...Context3, Service: () => (id: string) => Context3.Tag(id)() }

export const Effect = { ...Effect3_, service: <T>(tag: T): T => tag }

export const Stream = {
  ...Stream3,
  runCollect: <A, E, R>(stream: Effect3.Stream.Stream<A, E, R>) =>
    Effect3_.map(Stream3.runCollect(stream), (parts) => Array.from(parts))
}
