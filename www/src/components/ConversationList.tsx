import { memo, startTransition, useDeferredValue, useEffect, useRef, useState } from "react";
import type { Conversation } from "tutti-sync";
import { useConversations, useTyping } from "tutti-sync/react";
import { moveFocus } from "../arrow-keys";
import { inWords } from "../people";
import { hrefOf } from "../route";
import { useChat, useReport } from "../sync";
import { count, isGroup, prefixOf, previewOf, titleOf } from "../text";
import { briefly } from "../time";
import { Avatar } from "./Avatar";
import { Icon } from "./Icons";
import { PresenceDot } from "./PresenceDot";

/** Rows rendered at first; the others follow in slices that never hold up the page. */
const SLICE = 20;
/** Of so many the server is asked how they are; of the others it says so when that changes. */
const ASKED = 30;

export function ConversationList({ selected }: { selected: string | null }) {
  const { account } = useChat().client;
  const { conversations: latest, loading, error } = useConversations();
  useReport(error);
  // Messages come first: while hundreds of conversations change at once, the list follows as time allows.
  const conversations = useDeferredValue(latest);
  const shown = useGrowing(conversations.length);
  const list = useRef<HTMLUListElement>(null);

  // One stop for Tab, arrow keys within.
  const tabStop = conversations.some(({ id }) => id === selected) ? selected : conversations[0]?.id;

  return (
    <nav className="conversations" aria-label="Conversations" data-testid="conversation-list">
      {!loading && error === null && latest.length === 0 && <p className="hint">No conversations yet. Write to somebody above.</p>}
      <ul ref={list} onKeyDown={(event) => moveFocus(event, list.current!.querySelectorAll("a"))}>
        {conversations.slice(0, shown).map((conversation, at) => (
          <Row
            key={conversation.id}
            conversation={conversation}
            account={account}
            asked={at < ASKED}
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
  /** Whether the server is asked how the other is. */
  asked: boolean;
  selected: boolean;
  tabStop: boolean;
}

const Row = memo(function Row({ conversation, account, asked, selected, tabStop }: RowProps) {
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
        <Avatar name={title} shape={isGroup(id) ? "square" : undefined}>
          {!isGroup(id) && <PresenceDot account={title} ask={asked} />}
        </Avatar>
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
  const typing = useTyping(id);
  if (typing.length > 0) {
    return (
      <span className="row-preview" data-testid="row-typing">
        <em>{isGroup(id) ? `${inWords(typing)}: typing…` : "typing…"}</em>
      </span>
    );
  }
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

function useGrowing(total: number): number {
  const [shown, setShown] = useState(SLICE);
  useEffect(() => {
    if (shown < total) startTransition(() => setShown(shown + SLICE));
  }, [shown, total]);
  return shown;
}
