import { useState } from "react";
import { useStore } from "tutti-sync/react";
import { useChat } from "../sync";
import { count } from "../text";
import { briefly } from "../time";

/** Who has the account's places for connections, while there is none for this browser, and a way to take one. */
export function ConnectionLimit() {
  const chat = useChat();
  const limit = useStore(chat.limit);
  const [taking, setTaking] = useState<string | null>(null);
  if (limit === null) return null;

  const take = async (deviceId: string) => {
    setTaking(deviceId);
    try {
      await chat.client.takeOver(deviceId);
    } catch (error) {
      chat.report(error);
    }
    setTaking(null);
  };

  return (
    <section className="limit" aria-label="Connections" data-testid="connection-limit">
      <details>
        <summary>
          {count(limit.limit, "browser")} may be connected, and so many are. News come here from time to time; what you
          write is sent at once.
        </summary>
        <ul>
          {limit.connections.map(({ deviceId, name, since }) => (
            <li key={deviceId}>
              <span>
                {name === "" ? "A browser" : name}, since {briefly(since)}
              </span>
              <button className="button-quiet" disabled={taking !== null} onClick={() => void take(deviceId)}>
                {taking === deviceId ? "Taking over…" : "Use this browser instead"}
              </button>
            </li>
          ))}
        </ul>
      </details>
    </section>
  );
}
