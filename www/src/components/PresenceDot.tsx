import { describePresence, usePresence } from "../people";

/** How somebody is, as a colour and in words. Nothing as long as that is not known. */
export function PresenceDot({ account }: { account: string }) {
  const presence = usePresence(account);
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
