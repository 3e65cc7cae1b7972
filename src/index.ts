/**
 * The chat layer for Effect programs.
 *
 * @since 0.1.0
 */

/**
 * What a single call may ask for.
 *
 * @since 0.1.0
 */
export * as CallOptions from "./CallOptions.ts"

/**
 * The wire: one request, whole or streamed.
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
 * What the stream of an answer yields.
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
 * The whole answer of a model.
 *
 * @since 0.1.0
 */
export * as ChatResponse from "./ChatResponse.ts"

/**
 * The settings that a conversation can choose for itself.
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
 * Where conversations are kept.
 *
 * @since 0.1.0
 */
export * as HistoryStore from "./HistoryStore.ts"

/**
 * What is sent of a history.
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
 * Every setting of a chat.
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
 * Known servers as plain data.
 *
 * @since 0.1.0
 */
export * as Provider from "./Provider.ts"

/**
 * What a message takes of a budget of tokens.
 *
 * @since 0.1.0
 */
export * as TokenCounter from "./tokens/TokenCounter.ts"

/**
 * The input of a turn: a prompt, or an earlier turn that is to be answered again.
 *
 * @since 0.1.0
 */
export * as Turn from "./Turn.ts"
