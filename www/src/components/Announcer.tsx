import { useStore } from "tutti-sync/react";
import { useChat } from "../sync";

/** Reads new messages out, whichever conversation they are in. */
export function Announcer() {
  const announcement = useStore(useChat().announcement);
  return (
    <p className="visually-hidden" aria-live="polite">
      {announcement}
    </p>
  );
}
