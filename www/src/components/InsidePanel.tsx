import { useEffect, useState } from "react";
import type { Inspection, Trace } from "tutti-sync";
import { useSyncClient } from "tutti-sync/react";
import { useStatus } from "../sync";
import { count } from "../text";

/** How many lines of what happened stay on screen. */
const KEPT = 400;

/** What happens inside: what goes into the engine and comes out of it, and where the copy stands. */
export function InsidePanel() {
  const { moments, inside } = useInside();
  const { role, epoch } = useStatus();
  return (
    <section className="inside" aria-label="Inside" data-testid="inside">
      <div className="inside-facts">
        <dl>
          <Fact name="role" value={`${role}, epoch ${epoch}`} />
          {inside !== null && (
            <>
              <Fact name="cursor" value={inside.cursor.toLocaleString()} />
              <Fact name="revision" value={inside.revision.toLocaleString()} />
              <Fact name="journal" value={count(inside.journal, "message")} />
              <Fact name="other tabs" value={inside.tabs.map((tab) => tab.slice(-4)).join(", ") || "none"} />
            </>
          )}
        </dl>
        <Outbox entries={inside?.outbox ?? []} />
      </div>
      <ol className="inside-moments" data-testid="inside-moments">
        {moments.map(({ key, trace, times }) => (
          <li key={key} data-kind={trace.kind}>
            <time>{timeOf(trace.at)}</time>
            <span className="inside-name">{trace.name}</span>
            <span>{times > 1 && `× ${times}`}</span>
            <span>{trace.bytes !== null && `${trace.bytes.toLocaleString()} B`}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd data-testid={`inside-${name.replace(" ", "-")}`}>{value}</dd>
    </div>
  );
}

function Outbox({ entries }: { entries: Inspection["outbox"] }) {
  if (entries.length === 0) return <p data-testid="inside-outbox">The outbox is empty.</p>;
  return (
    <ul data-testid="inside-outbox">
      {entries.map(({ id, what, subject, refused }) => (
        <li key={id}>
          {what} {subject} {refused !== null && <em>{refused}</em>}
        </li>
      ))}
    </ul>
  );
}

/** Something that happened, so many times in a row. */
interface Moment {
  key: number;
  trace: Trace;
  times: number;
}

/** The newest first. */
function useInside(): { moments: Moment[]; inside: Inspection | null } {
  const client = useSyncClient();
  const [moments, setMoments] = useState<Moment[]>([]);
  const [inside, setInside] = useState<Inspection | null>(null);
  useEffect(() => {
    if (client === null) return;
    // A client that is closed has no inside to show.
    const look = () => void client.inspect().then(setInside, () => setInside(null));
    look();
    return client.on("trace", (traces) => {
      setMoments((moments) => traces.reduce(withTrace, moments).slice(0, KEPT));
      look();
    });
  }, [client]);
  return { moments, inside };
}

function withTrace(moments: Moment[], trace: Trace): Moment[] {
  const [last, ...before] = moments;
  const again = last !== undefined && last.trace.kind === trace.kind && last.trace.name === trace.name;
  if (!again) return [{ key: (last?.key ?? 0) + 1, trace, times: 1 }, ...moments];
  const bytes = trace.bytes === null ? null : trace.bytes + (last.trace.bytes ?? 0);
  return [{ key: last.key, trace: { ...trace, bytes }, times: last.times + 1 }, ...before];
}

function timeOf(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}
