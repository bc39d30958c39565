import { useEffect, useState } from "react";
import { type Availability, usePresence } from "../people";
import { useChat, useStatus } from "../sync";

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
  const told = usePresence(account)?.presence;
  const [chosen, setChosen] = useState<Availability>("online");
  useEffect(() => chat.people.ask(account), [chat, account]);
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
