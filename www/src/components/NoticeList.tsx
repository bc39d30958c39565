import type { Notification } from "tutti-sync";
import { useNotifications } from "tutti-sync/react";
import { select } from "../route";
import { useChat, useReport } from "../sync";
import { count } from "../text";
import { briefly } from "../time";
import { Icon } from "./Icons";

/** What the account is notified of. Read or dismissed here, it is so on all devices. */
export function NoticeList() {
  const { notifications: notices, error } = useNotifications();
  useReport(error);
  const unread = notices.filter(({ state }) => state === "unread").length;
  return (
    <section className="notices" aria-label="Notifications" data-testid="notices">
      <details>
        <summary data-testid="notices-open">
          <Icon name="bell" />
          Notifications
          {unread > 0 && (
            <span className="badge" data-testid="notices-badge" aria-label={count(unread, "unread notification")}>
              {unread}
            </span>
          )}
        </summary>
        {notices.length === 0 && <p className="hint">Nothing to tell you.</p>}
        <ul>
          {notices.map((notice) => (
            <Notice key={notice.id} notice={notice} />
          ))}
        </ul>
      </details>
    </section>
  );
}

function Notice({ notice: { id, title, body, conversation, createdAt, state } }: { notice: Notification }) {
  const chat = useChat();
  const mark = (state: "read" | "dismissed") => void chat.attempt(chat.client.markNotification(id, state));
  const open = () => {
    mark("read");
    if (conversation !== null) select(conversation);
  };
  return (
    <li data-testid="notice" data-state={state}>
      <button className="notice" onClick={open}>
        <strong>{title}</strong>
        <time dateTime={new Date(createdAt).toISOString()}>{briefly(createdAt)}</time>
        <span>{body}</span>
      </button>
      <button className="button-icon" aria-label={`Dismiss: ${title}`} onClick={() => mark("dismissed")}>
        <Icon name="close" />
      </button>
    </li>
  );
}
