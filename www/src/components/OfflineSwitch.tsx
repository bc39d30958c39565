import { useCell } from "../cell";
import { useChat } from "../sync";

export function OfflineSwitch() {
  const chat = useChat();
  const { workingOffline } = useCell(chat.status);
  return (
    <button
      className="switch"
      role="switch"
      aria-checked={workingOffline}
      data-testid="offline-switch"
      onClick={() => chat.client.setOffline(!workingOffline)}
    >
      Work offline
    </button>
  );
}
