import { useState } from "react";
import { useChat } from "../sync";

export function OfflineSwitch() {
  const chat = useChat();
  const [offline, setOffline] = useState(false);
  const flip = () => {
    setOffline(!offline);
    chat.setOffline(!offline);
  };
  return (
    <button className="switch" role="switch" aria-checked={offline} data-testid="offline-switch" onClick={flip}>
      Work offline
    </button>
  );
}
