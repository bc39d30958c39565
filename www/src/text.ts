import type { Message } from "tutti-sync";

/** The content of a message is whatever its sender's application chose; this one writes plain strings. */
export function textOf({ content, state }: Message): string {
  if (state === "recalled") return "Message recalled";
  if (typeof content === "string") return content;
  if (content !== null && typeof content === "object" && !Array.isArray(content)) {
    const { text } = content;
    if (typeof text === "string") return text;
  }
  return JSON.stringify(content);
}

/** Whether it can be edited here: what other applications wrote as more than a text is theirs. */
export function isPlainText({ content, type }: Message): boolean {
  return type === "text" && typeof content === "string";
}

/** One line of it: a message may be 32 KiB long, which a list of hundreds must not lay out. */
export function previewOf(message: Message): string {
  return textOf(message).slice(0, 120).replace(/\s+/g, " ");
}

/** Who says it, where that is not plain from the conversation. */
export function prefixOf(sender: string, conversation: string, account: string): string {
  if (sender === account) return "You: ";
  return isGroup(conversation) ? `${sender}: ` : "";
}

/** "direct:bob" → "bob", "group:choir" → "choir" */
export function titleOf(conversation: string): string {
  return conversation.slice(conversation.indexOf(":") + 1);
}

export function isGroup(conversation: string): boolean {
  return conversation.startsWith("group:");
}

export function count(number: number, noun: string): string {
  return `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
}

/** 83 → "1:23" */
export function clockOf(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
