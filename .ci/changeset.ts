/**
 * Every change of what users install comes with a changeset, or is part of a release.
 *
 * `changeset status` alone does not say so on the main branch, where it has nothing to compare with, nor in a clone that
 * has no main branch, where it stops. So this looks for the changesets by itself, and `changeset status` then says what
 * they amount to, compared with the branch that there is.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"

const { name, version } = JSON.parse(readFileSync("package.json", "utf8")) as { name: string; version: string }

const fail = (message: string): never => {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

const git = (...args: ReadonlyArray<string>) => spawnSync("git", args, { encoding: "utf8" })
const exists = (ref: string) => git("rev-parse", "--verify", "--quiet", `${ref}^{commit}`).status === 0

const pending = readdirSync(".changeset").filter((file) => file.endsWith(".md") && file !== "README.md")

for (const file of pending) {
  const text = readFileSync(`.changeset/${file}`, "utf8")
  const [, front = "", body = ""] = /^---\n([^]*?)\n?---\n([^]*)$/.exec(text) ?? []
  const bumps = front.split("\n").filter((line) => line.trim() !== "")
  const bump = new RegExp(`^["']?${name}["']?: (patch|minor|major)$`)
  if (bumps.length === 0 || !bumps.every((line) => bump.test(line))) {
    fail(`.changeset/${file}: its front matter must be "${name}": patch | minor | major`)
  }
  if (body.trim() === "") fail(`.changeset/${file}: says nothing for the changelog`)
}

if (pending.length === 0) {
  const changelog = existsSync("CHANGELOG.md") ? readFileSync("CHANGELOG.md", "utf8") : ""
  const released = /^## (\S+)/m.exec(changelog)?.[1]
  if (released !== version) {
    fail(`No changeset, and ${version} is not the newest version in CHANGELOG.md. Run: npx changeset`)
  }
  const release = git("log", "-1", "--format=%H", "--", "CHANGELOG.md").stdout.trim()
  if (release !== "" && git("diff", "--quiet", release, "--", "src").status !== 0) {
    fail(`src has changed since ${version} was released, and there is no changeset. Run: npx changeset`)
  }
  process.stdout.write(`No changeset is pending; ${version} is released.\n`)
} else {
  process.stdout.write(`Pending: ${pending.join(", ")}\n`)
}

const base = ["main", "origin/main", "HEAD"].find(exists)
if (base === undefined) {
  process.stdout.write("There is no commit to compare with.\n")
} else {
  const args = base === "main" ? ["status"] : ["status", `--since=${base}`]
  process.exitCode = spawnSync("npx", ["--no-install", "changeset", ...args], { stdio: "inherit" }).status ?? 1
}
