import { useChat, useStatus } from "../sync";

export function OfflineSwitch() {
  const chat = useChat();
  const { workingOffline } = useStatus();
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
