/**
 * Errors that are as others but for some fields.
 */
import type { ChatError, Details } from "../ChatError.ts"

/** The error with other values in some fields. */
export const change = <E extends ChatError>(error: E, fields: Partial<Details>): E => {
  const isAlike = (copy: unknown): copy is E => copy instanceof error.constructor
  const copy: unknown = Reflect.construct(error.constructor, [
    Object.assign({}, error, { message: error.message }, fields)
  ])
  return isAlike(copy) ? copy : error
}
