import { useTyping } from "tutti-sync/react";
import { inWords } from "../people";
import { useWaving } from "../waves";
import { Icon } from "./Icons";

/** What the others in a conversation are doing just now. Its line is always there, so that nothing moves. */
export function Activity({ conversation }: { conversation: string }) {
  const typing = useTyping(conversation);
  const waving = useWaving(conversation);
  return (
    <p className="activity" role="status" data-testid="activity">
      {waving.length > 0 && (
        <span>
          <Icon name="wave" />
          {inWords(waving)} {waving.length === 1 ? "waves" : "wave"}
        </span>
      )}
      {typing.length > 0 && (
        <span>
          {inWords(typing)} {typing.length === 1 ? "is" : "are"} typing
          <span className="typing-dots" aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
        </span>
      )}
    </p>
  );
}
