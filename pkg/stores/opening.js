// A client that is open as long as somebody wants it.
import * as inPage from "../index.js";
import { createStore, still } from "./store.js";

const OPENING = Object.freeze({ client: null, error: null });
const NOTHING_TO_OPEN = still(OPENING);

export function openingStore(options, { default: init, SyncClient } = inPage) {
  if (options === null) return NOTHING_TO_OPEN;
  return createStore(OPENING, (set) => {
    const opened = init().then(() => SyncClient.open(options));
    opened.then(
      (client) => set({ client, error: null }),
      (error) => set({ client: null, error }),
    );
    return () => {
      // One that failed to open has nothing to close.
      opened.then((client) => client.close()).catch(() => {});
    };
  });
}
