/**
 * The default answers of a `LocalServer`, which show what was sent to it.
 */
import * as Arr from "effect/Array"
import * as Option from "effect/Option"
import type { ChatRequest, Message } from "../LocalRequest.ts"

const about =
  "I am the local test server of effect-chat. No model is inside me: I repeat what I am told, and I can say " +
  "again what is in the messages that I am sent. Tell me \"my name is Ada\" and ask \"what is my name?\", ask \"what " +
  "did I say first?\", \"what did I say before?\" or \"what is your system prompt?\"."

const aboutChinese =
  "我是 effect-chat 的本地测试服务器，里面没有任何模型：我只会重复你的话，并复述发给我的消息里的内容。" +
  "你可以告诉我“我叫小明”，再问“我叫什么名字？”、“我第一句说了什么？”、“我刚才说了什么？”或“你的系统提示是什么？”。"

/**
 * The answer to a conversation. It depends only on the messages of the request. Questions about earlier messages are
 * answered; other prompts are repeated with the number of the turn, in the first turn with the note that there is no model.
 */
export const recall = ({ messages }: Pick<ChatRequest, "messages">): string => {
  const last = messages.at(-1)
  if (last?.role === "tool") return `The tool answered: ${quote(last.content)}`
  const prompts = messages.filter((message) => message.role === "user").map((message) => message.content.trim())
  const prompt = prompts.at(-1) ?? ""
  const isChinese = /\p{Script=Han}/u.test(prompt)
  return answer(head(prompt), prompts, messages, isChinese) ?? echo(prompt, prompts.length, isChinese)
}

const echo = (prompt: string, turn: number, isChinese: boolean): string =>
  isChinese
    ? `你说：${quote(prompt)}。这是第 ${turn} 轮。` + (turn === 1 ? "我里面没有模型。" : "")
    : `You said: ${quote(prompt)}. This is turn ${turn}.` + (turn === 1 ? " No model is inside this server." : "")

const answer = (
  prompt: string,
  prompts: ReadonlyArray<string>,
  messages: ReadonlyArray<Message>,
  isChinese: boolean
): string | undefined => {
  const earlier = prompts.slice(0, -1)
  if (/^(?:help|who are you|what are you)\s*[?!.]*$/i.test(prompt)) return about
  if (/^(?:你是谁|帮助|你是什么)[？?。！!]*$/u.test(prompt)) return aboutChinese
  if (/(?:what|tell|show|repeat).*system prompt/i.test(prompt) || /系统提示.*什么/u.test(prompt)) {
    return systemPrompt(messages, isChinese)
  }
  if (/what (?:did i|have i) (?:say|said|ask|asked|tell you|told you) first/i.test(prompt)) {
    return prompts.length > 1 ? `The first thing that you said was: ${quote(prompts[0])}` : "That was the first thing."
  }
  if (/what (?:did i|have i) (?:just )?(?:say|said|ask|asked|tell you|told you)/i.test(prompt)) {
    return earlier.length > 0 ? `Before this you said: ${quote(earlier.at(-1))}` : "You said nothing before this."
  }
  if (/what did you (?:just )?(?:say|answer)/i.test(prompt)) {
    return Option.match(Arr.findLast(messages, (message) => message.role === "assistant"), {
      onNone: () => "I said nothing before this.",
      onSome: (own) => `Before this I said: ${quote(own.content)}`
    })
  }
  if (/第一句.*什么/u.test(prompt)) {
    return earlier.length > 0
      ? `你说的第一句话是：${quote(prompts[0])}`
      : "这就是第一句。"
  }
  if (/(?:刚才|之前|上一句).*说了?什么/u.test(prompt)) {
    return earlier.length > 0 ? `你之前说：${quote(earlier.at(-1))}` : "你之前什么也没说。"
  }
  return recallFact(prompt, earlier) ?? acknowledge(prompt)
}

const systemPrompt = (messages: ReadonlyArray<Message>, isChinese: boolean): string => {
  const prompts = messages.filter((message) => message.role === "system" || message.role === "developer")
  if (prompts.length === 0) return isChinese ? "没有系统提示。" : "I was given no system prompt."
  const text = quote(prompts.map((message) => message.content).join("\n"))
  return isChinese ? `我的系统提示是：${text}` : `My system prompt is: ${text}`
}

/** Statements of users about themselves: "my favourite colour is blue", "call me Ada", "我叫小明", "我的城市是上海". */
const statements: ReadonlyArray<(text: string) => readonly [thing: string, value: string] | undefined> = [
  (text) =>
    thingFact(/\bmy ([a-z][a-z ]{0,40}?) is ([^,;!?\n]{1,100}?)(?=\.(?:\s|$)|[,;!?\n]| and | but |$)/i.exec(text)),
  (text) => nameFact(/\b(?:i am called|i'm called|call me) ([^\s.,;!?]{1,40})/i.exec(text)),
  (text) => nameFact(/我(?:的名字)?叫(?:做)?([^\s，。！？、,.!?什吗]{1,20})/u.exec(text)),
  (text) => thingFact(/我的([^\s，。！？的]{1,10}?)是([^\s，。！？,.!?什吗]{1,40})/u.exec(text))
]

const thingFact = (match: RegExpExecArray | null) =>
  match?.[1] === undefined || match[2] === undefined ? undefined : [nameOf(match[1]), match[2].trim()] as const

const nameFact = (match: RegExpExecArray | null) => match?.[1] === undefined ? undefined : ["name", match[1]] as const

const nameOf = (thing: string) => thing === "名字" ? "name" : thing.trim().toLowerCase()

const findFact = (text: string) => {
  for (const rule of statements) {
    const fact = rule(head(text))
    if (fact !== undefined) return fact
  }
  return undefined
}

const questionPattern =
  /(?:what(?:'s|’s| is| was)|(?:know|remember|tell me)(?: what)?) my ([a-z][a-z ]{0,40}?)(?: is)?\s*[?.!]*$/i

const recallFact = (prompt: string, earlier: ReadonlyArray<string>): string | undefined => {
  const english = questionPattern.exec(prompt)?.[1]
  const chinese = /我(?:的名字)?叫什么/u.test(prompt)
    ? "名字"
    : /我的([^\s，。！？的]{1,10}?)是(?:什么|谁)/u.exec(prompt)?.[1]
  const whoAmI = /\bwho am i\b/i.test(prompt) ? "name" : /我是谁/u.test(prompt) ? "名字" : undefined
  const thing = english ?? chinese ?? whoAmI
  if (thing === undefined) return undefined
  const facts = earlier.map(findFact).filter((fact) => fact?.[0] === nameOf(thing))
  const value = facts.at(-1)?.[1]
  if (/\p{Script=Han}/u.test(thing)) {
    return value === undefined ? `你没有告诉过我你的${thing}。` : `你告诉过我，你的${thing}是${value}。`
  }
  return value === undefined
    ? `You have not told me your ${nameOf(thing)}.`
    : `You told me that your ${nameOf(thing)} is ${value}.`
}

const acknowledge = (prompt: string): string | undefined => {
  const fact = findFact(prompt)
  if (fact === undefined) return undefined
  const [thing, value] = fact
  if (/\p{Script=Han}/u.test(prompt)) {
    return `好的，你的${thing === "name" ? "名字" : thing}是${value}。（我里面没有模型，只有这些消息。）`
  }
  return `Noted: your ${thing} is ${value}. (No model is inside me, only the messages that I am sent.)`
}

const maxLength = 500

/** The start of a text, in which patterns are searched: their time is not linear in the length of the text. */
const head = (text: string): string => text.slice(0, maxLength)

/** The text in quotation marks, shortened if it is long. */
const quote = (text = ""): string => `“${text.length > maxLength ? `${text.slice(0, maxLength)}…` : text}”`
