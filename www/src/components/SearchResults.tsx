import type { Message } from "tutti-sync";
import { hrefOf } from "../route";
import { MOST_FOUND, snippet, useSearch } from "../search";
import { useChat } from "../sync";
import { count, isGroup, prefixOf, textOf, titleOf } from "../text";
import { briefly } from "../time";
import { Avatar } from "./Avatar";
import { Marked } from "./Marked";

/** The messages of all conversations that contain a query; each leads to its place. */
export function SearchResults({ query }: { query: string }) {
  const found = useSearch(query);
  return (
    <nav className="conversations" aria-label="Messages found" data-testid="search-results">
      <p className="hint" role="status" data-testid="search-count">
        {found !== null && summaryOf(found.messages.length)}
      </p>
      <ul>
        {found?.messages.map((message) => <Row key={message.id} message={message} query={found.query} />)}
      </ul>
    </nav>
  );
}

function Row({ message, query }: { message: Message; query: string }) {
  const chat = useChat();
  const { id, conversation, sender, sentAt } = message;
  const title = titleOf(conversation);
  return (
    <li>
      <a className="row" data-testid="found" href={hrefOf(conversation)} onClick={() => chat.goTo({ conversation, message: id, offset: null })}>
        <Avatar name={title} shape={isGroup(conversation) ? "square" : undefined} />
        <span className="row-title">{title}</span>
        <span className="row-time">
          <time dateTime={new Date(sentAt).toISOString()}>{briefly(sentAt)}</time>
        </span>
        <span className="row-preview">
          {prefixOf(sender, conversation, chat.client.account)}
          <Marked text={snippet(textOf(message), query)} query={query} />
        </span>
      </a>
    </li>
  );
}

function summaryOf(messages: number): string {
  if (messages === 0) return "Nothing found on this device.";
  return messages < MOST_FOUND ? `${count(messages, "message")} found` : `The latest ${messages} messages found`;
}
