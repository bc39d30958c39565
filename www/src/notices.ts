import type { Notification, SyncClient } from "tutti-sync";
import { Cell } from "./cell";
import { oncePerFrame } from "./frame";

/** What the account is notified of, as the list shows it. */
export class Notices {
  readonly shown = new Cell<readonly Notification[]>([]);
  readonly #off: () => void;

  constructor(client: SyncClient, report: (error: unknown) => void) {
    // At most two hundred, so it is simplest to read them all anew.
    const read = () => client.notifications().then(this.shown.set, report);
    this.#off = client.on("notifications", oncePerFrame(() => void read()));
    void read();
  }

  close(): void {
    this.#off();
  }
}
