import { useEffect, useId, useState } from "react";
import { type Push, pushNow, turnOff, turnOn } from "../push";
import { useChat, useStatus } from "../sync";

/** Whether this browser tells of news while the chat is not open. */
export function PushSwitch() {
  const chat = useChat();
  const online = useStatus().connection === "online";
  const [push, setPush] = useState<Push | null>(null);
  const [changing, setChanging] = useState(false);
  const why = useId();

  useEffect(() => {
    let wanted = true;
    const look = () => {
      // It is looked at again when there is a connection.
      pushNow(chat.client).then((push) => wanted && setPush(push), () => {});
    };
    look();
    // It may have been turned on or off in another tab.
    const off = chat.client.on("devices", look);
    return () => {
      wanted = false;
      off();
    };
  }, [chat, online]);

  const change = async () => {
    setChanging(true);
    await chat.attempt(async () => setPush(await (push?.state === "on" ? turnOff : turnOn)(chat.client)));
    setChanging(false);
  };

  const impossible = push?.state === "impossible";
  const blocked = push === null || impossible || changing || !online;
  return (
    <section className="devices-part devices-push" aria-label="Notifications on this device">
      <div>
        <h3>Notifications</h3>
        <p className="hint" id={why} data-testid="push-why" data-state={push?.state}>
          {impossible
            ? push.why
            : push?.state === "on"
              ? "This browser tells you of news while the chat is not open and you are on no other device."
              : "Have this browser tell you of news while the chat is not open."}
        </p>
      </div>
      <button
        className="switch"
        role="switch"
        aria-checked={push?.state === "on"}
        aria-label="Notifications on this device"
        aria-describedby={why}
        data-testid="push"
        disabled={blocked}
        onClick={() => void change()}
      />
    </section>
  );
}
