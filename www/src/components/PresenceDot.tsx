import { usePresence } from "tutti-sync/react";
import { describePresence } from "../people";

interface PresenceDotProps {
  account: string;
  /** Whether the server is asked; otherwise it says so when that changes. */
  ask?: boolean;
}

/** How somebody is, as a colour and in words. Nothing as long as that is not known. */
export function PresenceDot({ account, ask }: PresenceDotProps) {
  const { presence } = usePresence(account, { ask });
  if (presence === null) return null;
  const words = describePresence(presence);
  return (
    <span
      className="presence-dot"
      role="img"
      aria-label={words}
      title={words}
      data-testid="presence"
      data-value={presence.presence}
    />
  );
}
