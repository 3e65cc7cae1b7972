/**
 * The stores of the crash tests, at places that outlive the program.
 */
import { NodeContext } from "@effect/platform-node"
import type { Migrator, SqlError } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { type ConfigError, Layer, Redacted, Schema } from "effect"
import { type ChatError, HistoryStore } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import * as Sqlite from "effect-chat/sql/Sqlite"

/** A kind of store. */
export const Kind = Schema.Literal("file", "sqlite", "postgres")
export type Kind = typeof Kind.Type

/** A kind of store and its location: a folder, a file, or the address of a database. */
export interface Place {
  readonly kind: Kind
  readonly location: string
}

/** Opens the store. */
export const layer = (
  { kind, location }: Place
): Layer.Layer<
  HistoryStore.HistoryStore,
  ChatError.HistoryStoreError | ConfigError.ConfigError | Migrator.MigrationError | SqlError.SqlError
> => {
  switch (kind) {
    case "file":
      return HistoryStore.layerFileSystem({ directory: location }).pipe(Layer.provide(NodeContext.layer))
    case "sqlite":
      return Sqlite.layer({ filename: location })
    case "postgres":
      return SqlHistoryStore.layer.pipe(Layer.provide(PgClient.layer({ url: Redacted.make(location) })))
  }
}
