import { useCell } from "../cell";
import { useChat } from "../sync";

export function OfflineSwitch() {
  const chat = useChat();
  const offline = useCell(chat.offline);
  return (
    <button
      className="switch"
      role="switch"
      aria-checked={offline}
      data-testid="offline-switch"
      onClick={() => chat.setOffline(!offline)}
    >
      Work offline
    </button>
  );
}
