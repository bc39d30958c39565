import { memo, useLayoutEffect, useRef, useState } from "react";
import type { Message } from "tutti-sync";
import { explainCode } from "../errors";
import { useChat } from "../sync";
import { isPlainText, textOf } from "../text";
import { timeOfDay } from "../time";
import { Avatar } from "./Avatar";
import { growToFit } from "./Composer";
import { Icon } from "./Icons";
import { Marked } from "./Marked";

interface MessageItemProps {
  message: Message;
  own: boolean;
  /** Sent by this account, but from another device. */
  elsewhere: boolean;
  /** Whether to say who sent it. */
  named: boolean;
  first: boolean;
  last: boolean;
  /** What to say of who has read up to here, if it is the last that somebody has read. */
  readBy: string | undefined;
  /** Whether the reader has asked for it. */
  sought: boolean;
  /** What stands out in its text. */
  query: string;
}

export const MessageItem = memo(function MessageItem(props: MessageItemProps) {
  const { message, own, elsewhere, named, first, last, readBy, sought, query } = props;
  const { id, sender, sentAt, editedAt, state, error } = message;
  const [editing, setEditing] = useState(false);
  const classes = ["message", own && "own", first && "first", last && "last", sought && "sought"].filter(Boolean).join(" ");
  const showSender = named && !own;
  const recalled = state === "recalled";
  return (
    <li className={classes} data-testid="message" data-message-id={id} data-state={state} tabIndex={sought ? -1 : undefined}>
      {showSender && (last ? <Avatar name={sender} shape="small" /> : <span className="avatar-gap" />)}
      {own && (state === "sent" || state === "pending") && !editing && (
        <Actions message={message} onEdit={() => setEditing(true)} />
      )}
      {editing && !recalled ? (
        <Editor message={message} onDone={() => setEditing(false)} />
      ) : (
        <div className="bubble">
          {showSender && first ? (
            <strong className="sender">{sender}</strong>
          ) : (
            <span className="visually-hidden">{own ? "You" : sender}: </span>
          )}
          <span className="message-text">
            {recalled && <Icon name="recall" />}
            <Marked text={textOf(message)} query={recalled ? "" : query} />
          </span>
          <span className="message-meta">
            {elsewhere && <Mark icon="devices" label="from another device" />}
            {editedAt !== null && !recalled && (
              <span data-testid="edited" title={`edited at ${timeOfDay(editedAt)}`}>
                edited
              </span>
            )}
            <time dateTime={new Date(sentAt).toISOString()}>{timeOfDay(sentAt)}</time>
            {own && state === "pending" && <Mark icon="clock" label="waiting to be sent" />}
            {own && state === "sent" && <Mark icon="check" label="sent" />}
          </span>
          {state === "failed" && (
            <span className="message-error">
              <Icon name="alert" />
              Not sent. {error === null ? "" : `${explainCode(error.code).what} ${explainCode(error.code).advice}`}
              <FailedActions id={id} />
            </span>
          )}
        </div>
      )}
      {readBy !== undefined && (
        <span className="message-read" data-testid="read-by">
          {readBy}
        </span>
      )}
    </li>
  );
});

/** What can be done with a message of one's own: out of the way until it is pointed at, or asked for. */
function Actions({ message, onEdit }: { message: Message; onEdit: () => void }) {
  const chat = useChat();
  const [open, setOpen] = useState(false);
  const close = (event: React.FocusEvent) => {
    if (!event.currentTarget.contains(event.relatedTarget)) setOpen(false);
  };
  return (
    <span className="message-actions" onBlur={close} onKeyDown={(event) => event.key === "Escape" && setOpen(false)}>
      {open && (
        <span className="menu" role="menu">
          {isPlainText(message) && (
            <button role="menuitem" data-testid="edit" onClick={onEdit}>
              <Icon name="edit" />
              Edit
            </button>
          )}
          <button role="menuitem" data-testid="recall" onClick={() => void chat.attempt(chat.client.recall(message.id))}>
            <Icon name="recall" />
            Recall
          </button>
        </span>
      )}
      <button
        className="button-icon"
        data-testid="message-menu"
        aria-label="What to do with this message"
        aria-haspopup="menu"
        aria-expanded={open}
        // Safari gives the focus to no button that is clicked, and without it the menu would not close.
        onClick={(event) => {
          event.currentTarget.focus();
          setOpen(!open);
        }}
      >
        <Icon name="more" />
      </button>
    </span>
  );
}

function FailedActions({ id }: { id: string }) {
  const chat = useChat();
  return (
    <span className="message-failed-actions">
      <button className="button-quiet" data-testid="retry" onClick={() => void chat.attempt(chat.client.retry(id))}>
        <Icon name="retry" />
        Retry
      </button>
      <button className="button-quiet" data-testid="discard" onClick={() => void chat.attempt(chat.client.discard(id))}>
        <Icon name="discard" />
        Discard
      </button>
    </span>
  );
}

/** The message, to be changed in its place. */
function Editor({ message, onDone }: { message: Message; onDone: () => void }) {
  const chat = useChat();
  const [text, setText] = useState(() => textOf(message));
  const area = useRef<HTMLTextAreaElement>(null);

  useLayoutEffect(() => growToFit(area.current!), [text]);
  useLayoutEffect(() => {
    const { length } = area.current!.value;
    area.current!.focus();
    area.current!.setSelectionRange(length, length);
  }, []);

  const save = () => {
    if (text.trim() === "") return;
    if (text !== textOf(message)) void chat.attempt(chat.client.edit(message.id, text));
    onDone();
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape") return onDone();
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    save();
  };

  return (
    <form
      className="bubble editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        ref={area}
        data-testid="editor"
        aria-label="The message as it should be"
        rows={1}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <span className="editor-actions">
        <button type="button" className="button-quiet" onClick={onDone}>
          Cancel
        </button>
        <button className="button-primary" data-testid="save-edit">
          Save
        </button>
      </span>
    </form>
  );
}

function Mark({ icon, label }: { icon: "devices" | "clock" | "check"; label: string }) {
  return (
    <span title={label}>
      <Icon name={icon} />
      <span className="visually-hidden">{label}</span>
    </span>
  );
}
