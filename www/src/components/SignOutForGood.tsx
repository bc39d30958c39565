import { useState } from "react";
import { SyncError } from "tutti-sync";
import { explain } from "../errors";
import { forgetEverything } from "../session";
import { useChat, useStatus } from "../sync";
import { count } from "../text";
import { Dialog } from "./Dialog";

/** When the server cannot be told now that the device goes. */
const UNTOLD = new Set(["offline", "timeout", "connection-limit", "unsupported"]);

/** Signs out, and leaves nothing of the account in this browser. */
export function SignOutForGood({ onSignOut }: { onSignOut: () => void }) {
  const chat = useChat();
  const { pending } = useStatus();
  const [asking, setAsking] = useState(false);
  const [erasing, setErasing] = useState(false);
  /** Why the server could not be told. */
  const [untold, setUntold] = useState<unknown>(null);

  const erase = async (revoke: boolean) => {
    setErasing(true);
    try {
      // Its own end is no news to this tab, which goes to the sign-in form.
      chat.leave();
      await chat.client.erase({ revoke });
      forgetEverything();
      onSignOut();
    } catch (error) {
      chat.stay();
      setErasing(false);
      if (revoke && error instanceof SyncError && UNTOLD.has(error.code)) return setUntold(error);
      setAsking(false);
      chat.report(error);
    }
  };
  const cancel = () => {
    setAsking(false);
    setUntold(null);
  };

  return (
    <section className="devices-part devices-leave" aria-label="Leave this device">
      <div>
        <h3>Leave this device</h3>
        <p className="hint">Signs out in all tabs of this browser and leaves nothing of the chat in it.</p>
      </div>
      <button className="button-danger" data-testid="erase" onClick={() => setAsking(true)}>
        Sign out and erase
      </button>
      {asking && untold === null && (
        <Dialog title="Sign out and erase this device?" onCancel={cancel} testId="erasure">
          <ul className="consequences">
            <li>The copy of the chat in this browser is erased, in all its tabs.</li>
            <li>This browser is removed from your devices, and gets no more notifications.</li>
            {pending > 0 && <li>{count(pending, "thing")} that you did here and that the server does not know yet will be lost.</li>}
          </ul>
          <p className="hint">Your messages stay on the server and on your other devices.</p>
          <p className="dialog-buttons">
            <button className="button-quiet" autoFocus onClick={cancel}>
              Stay
            </button>
            <button className="button-danger" data-testid="erase-confirm" disabled={erasing} onClick={() => void erase(true)}>
              {erasing ? "Erasing…" : "Sign out and erase"}
            </button>
          </p>
        </Dialog>
      )}
      {asking && untold !== null && (
        <Dialog title="Erase without telling the server?" onCancel={cancel} testId="erasure-untold">
          <p>{explain(untold).what} Nothing has been erased yet.</p>
          <p className="hint">
            You can erase the copy here all the same. The server goes on listing this browser among your devices until you
            remove it there from another one.
          </p>
          <p className="dialog-buttons">
            <button className="button-quiet" autoFocus onClick={cancel}>
              Stay
            </button>
            <button className="button-danger" data-testid="erase-untold" disabled={erasing} onClick={() => void erase(false)}>
              {erasing ? "Erasing…" : "Erase all the same"}
            </button>
          </p>
        </Dialog>
      )}
    </section>
  );
}
