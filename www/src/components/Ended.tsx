import { useEffect, useRef } from "react";
import type { Ending } from "../sync";
import { Stave } from "./Stave";

interface EndedProps {
  ending: Ending;
  account: string;
  onSignIn: () => void;
}

/** What there is to see once nothing of the account is here any more. */
export function Ended({ ending, account, onSignIn }: EndedProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  // What had the focus is gone.
  useEffect(() => heading.current!.focus(), []);

  return (
    <main className="sign-in">
      <div className="sign-in-card ended" data-testid="ended" data-why={ending.why}>
        <Stave notes={0} bright={0} />
        <h1 ref={heading} tabIndex={-1}>
          {isFarewell(ending) ? "Until next time" : "Removed"}
        </h1>
        <p data-testid="ended-by">{whatHappened(ending, account)}</p>
        <p className="hint">
          Nothing of the chat is left in this browser. {isFarewell(ending) ? "Your" : `All of ${account}’s`} messages are
          safe on the server{isFarewell(ending) ? "" : " and on the other devices"}, and come back when you sign in: this
          browser is a new device then.
        </p>
        <button className="button-primary" data-testid="sign-in-again" onClick={onSignIn}>
          Sign in again
        </button>
      </div>
    </main>
  );
}

/** The user has left by themselves. */
function isFarewell(ending: Ending): boolean {
  return ending.why === "erased" || ending.by === "itself";
}

function whatHappened(ending: Ending, account: string): string {
  if (isFarewell(ending)) return `In another tab, ${account} has signed out of this browser.`;
  const { by } = ending as Ending & { why: "removed" };
  if (by === "operator") return `Whoever runs this chat has removed this device from ${account}’s account.`;
  const { device } = by as { device: string | null };
  return `This device was removed from ${account}’s account by ${device === null ? "another of its devices" : `“${device}”`}.`;
}
