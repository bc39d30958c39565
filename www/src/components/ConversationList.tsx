import { memo, startTransition, useDeferredValue, useEffect, useRef, useState } from "react";
import type { Conversation } from "tutti-sync";
import { useCell } from "../cell";
import { hrefOf } from "../route";
import { useChat, useConversations } from "../sync";
import { count, isGroup, previewOf, titleOf } from "../text";
import { briefly } from "../time";
import { Avatar } from "./Avatar";
import { Icon } from "./Icons";

/** Rows rendered at first; the others follow in slices that never hold up the page. */
const SLICE = 20;

export function ConversationList({ selected }: { selected: string | null }) {
  const chat = useChat();
  const ready = useCell(chat.ready);
  // Messages come first: while hundreds of conversations change at once, the list follows as time allows.
  const conversations = useDeferredValue(useConversations());
  const shown = useGrowing(conversations.length);
  const list = useRef<HTMLUListElement>(null);

  const move = (event: React.KeyboardEvent) => {
    const rows = [...(list.current?.querySelectorAll("a") ?? [])];
    const at = rows.indexOf(document.activeElement as HTMLAnchorElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    rows[to]?.focus();
  };

  // One stop for Tab, arrow keys within.
  const tabStop = conversations.some(({ id }) => id === selected) ? selected : conversations[0]?.id;

  return (
    <nav className="conversations" aria-label="Conversations" data-testid="conversation-list">
      {ready && conversations.length === 0 && <p className="hint">No conversations yet. Write to somebody above.</p>}
      <ul ref={list} onKeyDown={move}>
        {conversations.slice(0, shown).map((conversation) => (
          <Row
            key={conversation.id}
            conversation={conversation}
            account={chat.client.account}
            selected={conversation.id === selected}
            tabStop={conversation.id === tabStop}
          />
        ))}
      </ul>
    </nav>
  );
}

interface RowProps {
  conversation: Conversation;
  account: string;
  selected: boolean;
  tabStop: boolean;
}

const Row = memo(function Row({ conversation, account, selected, tabStop }: RowProps) {
  const { id, lastMessage, lastActivity, unread, muted, pinned, draft } = conversation;
  const title = titleOf(id);
  return (
    <li>
      <a
        className="row"
        data-testid="conversation"
        data-conversation={id}
        data-unread={unread}
        data-pinned={pinned}
        href={hrefOf(id)}
        aria-current={selected ? "page" : undefined}
        tabIndex={tabStop ? 0 : -1}
      >
        <Avatar name={title} shape={isGroup(id) ? "square" : undefined} />
        <span className="row-title">
          {isGroup(id) && <span className="visually-hidden">Group </span>}
          {title}
          {muted && <Icon name="mute" />}
        </span>
        <span className="row-time">
          {pinned && <Icon name="pin" />}
          {lastMessage !== null && <time dateTime={new Date(lastActivity).toISOString()}>{briefly(lastActivity)}</time>}
        </span>
        {draft !== null && !selected ? (
          <span className="row-preview" data-testid="draft">
            <em>Draft:</em> {draft.slice(0, 120)}
          </span>
        ) : (
          <Preview conversation={conversation} account={account} />
        )}
        {unread > 0 && (
          <span className="badge" data-muted={muted} aria-label={`${count(unread, "unread message")}`}>
            {unread > 999 ? "999+" : unread}
          </span>
        )}
      </a>
    </li>
  );
});

function Preview({ conversation: { id, lastMessage }, account }: { conversation: Conversation; account: string }) {
  if (lastMessage === null) return <span className="row-preview" />;
  const { state, sender } = lastMessage;
  return (
    <span className="row-preview" data-state={state}>
      {state === "pending" && <Icon name="clock" />}
      {state === "failed" && <Icon name="alert" />}
      {prefixOf(sender, id, account)}
      {previewOf(lastMessage)}
    </span>
  );
}

function prefixOf(sender: string, conversation: string, account: string): string {
  if (sender === account) return "You: ";
  return isGroup(conversation) ? `${sender}: ` : "";
}

function useGrowing(total: number): number {
  const [shown, setShown] = useState(SLICE);
  useEffect(() => {
    if (shown < total) startTransition(() => setShown(shown + SLICE));
  }, [shown, total]);
  return shown;
}
