/**
 * How thorough a test is. Files that import this run among the fast tests and, with `isThorough`, among the slow ones.
 */

/** Whether the slow tests run. `vitest.config.ts` sets the variable. */
export const isThorough = process.env["THOROUGH"] === "1"

/** How often something is tried: a few times among the fast tests, and `all` times among the slow ones. */
export const runs = (few: number, all: number): number => isThorough ? all : few
