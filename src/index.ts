/**
 * The chat layer for Effect programs. Start with `LLMChat` for one conversation, or `ChatManager` for many.
 *
 * @since 0.1.0
 */

/**
 * The options of a single call.
 *
 * @since 0.1.0
 */
export * as CallOptions from "./CallOptions.ts"

/**
 * Completions: one request, one answer or stream.
 *
 * @since 0.1.0
 */
export * as ChatCompletions from "./ChatCompletions.ts"

/**
 * Every error.
 *
 * @since 0.1.0
 */
export * as ChatError from "./ChatError.ts"

/**
 * The events of a streamed answer.
 *
 * @since 0.1.0
 */
export * as ChatEvent from "./ChatEvent.ts"

/**
 * Many conversations by id.
 *
 * @since 0.1.0
 */
export * as ChatManager from "./ChatManager.ts"

/**
 * The messages of a conversation.
 *
 * @since 0.1.0
 */
export * as ChatMessage from "./ChatMessage.ts"

/**
 * The complete answer of a model.
 *
 * @since 0.1.0
 */
export * as ChatResponse from "./ChatResponse.ts"

/**
 * The settings that a conversation can have of its own.
 *
 * @since 0.1.0
 */
export * as ChatSettings from "./ChatSettings.ts"

/**
 * A conversation as JSON.
 *
 * @since 0.1.0
 */
export * as ConversationData from "./ConversationData.ts"

/**
 * Further servers, for when the first one cannot answer.
 *
 * @since 0.1.0
 */
export * as Fallback from "./Fallback.ts"

/**
 * Storage of conversations.
 *
 * @since 0.1.0
 */
export * as HistoryStore from "./HistoryStore.ts"

/**
 * Windows select the part of a history that is sent.
 *
 * @since 0.1.0
 */
export * as HistoryWindow from "./HistoryWindow.ts"

/**
 * Limits that many conversations share.
 *
 * @since 0.1.0
 */
export * as Limits from "./Limits.ts"

/**
 * One conversation.
 *
 * @since 0.1.0
 */
export * as LLMChat from "./LLMChat.ts"

/**
 * The settings of a chat.
 *
 * @since 0.1.0
 */
export * as LLMConfig from "./LLMConfig.ts"

/**
 * The sessions of a manager on this machine.
 *
 * @since 0.1.0
 */
export * as LocalSessions from "./LocalSessions.ts"

/**
 * Tools with handlers.
 *
 * @since 0.1.0
 */
export * as Tool from "./Tool.ts"

/**
 * Tools with the services of their handlers.
 *
 * @since 0.1.0
 */
export * as ToolSet from "./ToolSet.ts"

/**
 * Presets of known servers.
 *
 * @since 0.1.0
 */
export * as Provider from "./Provider.ts"

/**
 * Counts or estimates the tokens of messages.
 *
 * @since 0.1.0
 */
export * as TokenCounter from "./tokens/TokenCounter.ts"

/**
 * The input of a turn: a prompt, or an earlier turn.
 *
 * @since 0.1.0
 */
export * as Turn from "./Turn.ts"
