import type { Status } from "tutti-sync";
import { explainCode } from "../errors";
import { useStatus } from "../sync";
import { count } from "../text";
import { OfflineSwitch } from "./OfflineSwitch";

interface StatusLineProps {
  inside: boolean;
  onInside: (inside: boolean) => void;
}

/** What keeps this tab in step, in one line. */
export function StatusLine({ inside, onInside }: StatusLineProps) {
  const status = useStatus();
  const { role, connection, reason, tabs, pending, catchingUp, durable } = status;
  return (
    <footer className="status">
      <p className="status-facts">
        <span className="lamp" data-connection={connection} aria-hidden="true" />
        <span role="status" data-testid="status-connection" data-value={connection} title={connectionHelp(status)}>
          {connection}
        </span>
        {reason !== null && reason !== connection && (
          <span data-testid="status-reason" data-value={reason}>
            {explainCode(reason).what}
          </span>
        )}
        <span data-testid="status-role" data-value={role} title={roleHelp(status)}>
          {role}
        </span>
        <span data-testid="status-tabs" data-value={tabs} title="Tabs of this account in this browser">
          {count(tabs, "tab")}
        </span>
        <span
          data-testid="status-pending"
          data-value={pending}
          title="What you did here that the server has not confirmed yet. It is safe on this device."
        >
          {pending.toLocaleString()} pending
        </span>
        {catchingUp && <span data-testid="status-catching-up">catching up{progressOf(status)}…</span>}
        {!durable && (
          <span data-testid="status-memory" title="This browser offers no lasting storage: closing the tab loses what is pending.">
            in memory only
          </span>
        )}
      </p>
      <span className="status-switches">
        <button
          className="switch"
          role="switch"
          aria-checked={inside}
          data-testid="inside-switch"
          onClick={() => onInside(!inside)}
        >
          Look inside
        </button>
        <OfflineSwitch />
      </span>
    </footer>
  );
}

function connectionHelp({ connection, reason }: Status): string {
  if (reason !== null) {
    const { what, advice } = explainCode(reason);
    return `${what} ${advice}`;
  }
  return connection === "online" ? "Changes arrive as they happen." : "Everything you write is kept and sent later.";
}

/** " 12,000 of 100,000", where it is known. */
function progressOf({ progress }: Status): string {
  if (progress === null || progress.total === null || progress.total === 0) return "";
  return ` ${progress.done.toLocaleString()} of ${progress.total.toLocaleString()}`;
}

function roleHelp({ role, epoch }: Status): string {
  const what =
    role === "leader" ? "This tab holds the connection for all tabs." : "Another tab holds the connection for this one.";
  return `${what} (Leadership number ${epoch})`;
}
