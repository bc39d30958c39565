import { useEffect, useState } from "react";
import type { SyncClient } from "tutti-sync";
import { usePresence } from "tutti-sync/react";
import { useChat, useStatus } from "../sync";

/** What the user can say to be. */
type Availability = Parameters<SyncClient["setPresence"]>[0];

const CHOICES: Record<Availability, string> = {
  online: "Online",
  away: "Away",
  busy: "Busy",
  invisible: "Invisible",
};

/** What others see of the user: what was chosen last on any device. */
export function OwnPresence() {
  const chat = useChat();
  const { account } = chat.client;
  const online = useStatus().connection === "online";
  const { presence } = usePresence(account);
  const told = presence?.invisible ? "invisible" : presence?.presence;
  const [chosen, setChosen] = useState<Availability>("online");
  useEffect(() => {
    if (told !== undefined && told !== "offline") setChosen(told);
  }, [told]);

  const choose = (availability: Availability) => {
    setChosen(availability);
    void chat.attempt(() => chat.client.setPresence(availability));
  };

  return (
    <span className="own-presence">
      <span className="presence-dot" data-value={online ? chosen : "offline"} aria-hidden="true" />
      <select
        data-testid="own-presence"
        aria-label="What others see of you"
        value={chosen}
        onChange={(event) => choose(event.target.value as Availability)}
      >
        {Object.entries(CHOICES).map(([availability, name]) => (
          <option key={availability} value={availability}>
            {name}
          </option>
        ))}
      </select>
    </span>
  );
}
