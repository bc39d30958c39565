import { memo } from "react";
import type { Message } from "tutti-sync";
import { explainCode } from "../errors";
import { textOf } from "../text";
import { timeOfDay } from "../time";
import { Avatar } from "./Avatar";
import { Icon } from "./Icons";

interface MessageItemProps {
  message: Message;
  own: boolean;
  /** Sent by this account, but from another device. */
  elsewhere: boolean;
  /** Whether to say who sent it. */
  named: boolean;
  first: boolean;
  last: boolean;
}

export const MessageItem = memo(function MessageItem({ message, own, elsewhere, named, first, last }: MessageItemProps) {
  const { id, sender, sentAt, editedAt, state, error } = message;
  const classes = ["message", own && "own", first && "first", last && "last"].filter(Boolean).join(" ");
  const showSender = named && !own;
  return (
    <li className={classes} data-testid="message" data-message-id={id} data-state={state}>
      {showSender && (last ? <Avatar name={sender} shape="small" /> : <span className="avatar-gap" />)}
      <div className="bubble">
        {showSender && first ? (
          <strong className="sender">{sender}</strong>
        ) : (
          <span className="visually-hidden">{own ? "You" : sender}: </span>
        )}
        <span className="message-text">{textOf(message)}</span>
        <span className="message-meta">
          {elsewhere && <Mark icon="devices" label="from another device" />}
          {editedAt !== null && "edited "}
          <time dateTime={new Date(sentAt).toISOString()}>{timeOfDay(sentAt)}</time>
          {own && state === "pending" && <Mark icon="clock" label="waiting to be sent" />}
          {own && state === "sent" && <Mark icon="check" label="sent" />}
        </span>
        {state === "failed" && (
          <span className="message-error">
            <Icon name="alert" />
            Not sent. {error === null ? "" : `${explainCode(error.code).what} ${explainCode(error.code).advice}`}
          </span>
        )}
      </div>
    </li>
  );
});

function Mark({ icon, label }: { icon: "devices" | "clock" | "check"; label: string }) {
  return (
    <span title={label}>
      <Icon name={icon} />
      <span className="visually-hidden">{label}</span>
    </span>
  );
}
