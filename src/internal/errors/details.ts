/**
 * The fields of every error.
 */
import * as Schema from "effect/Schema"
import { ChatResponse } from "../../ChatResponse.ts"
import { FiniteMillis } from "../settingSchemas.ts"

export const details = {
  message: Schema.String,
  status: Schema.optional(Schema.Int),
  code: Schema.optional(Schema.String),
  type: Schema.optional(Schema.String),
  requestId: Schema.optional(Schema.String),
  body: Schema.optional(Schema.String),
  retryAfter: Schema.optional(FiniteMillis),
  partial: Schema.optional(ChatResponse),
  cause: Schema.optional(Schema.Defect)
}

/** These fields and those of every error. A function, so that bundlers can drop the errors that a program does not use. */
export const withDetails = <Fields extends Schema.Struct.Fields>(fields: Fields): typeof details & Fields => ({
  ...details,
  ...fields
})
