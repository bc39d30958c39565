/** Whether an account's user chose to work offline: kept for the next visit, and the same in all tabs. */
export function offlineChoice(account: string): boolean {
  return localStorage.getItem(keyOf(account)) !== null;
}

export function keepOfflineChoice(account: string, offline: boolean): void {
  if (offline) localStorage.setItem(keyOf(account), "yes");
  else localStorage.removeItem(keyOf(account));
}

/** Hears of it when another tab makes the choice. */
export function onOfflineChoice(account: string, listener: (offline: boolean) => void): () => void {
  const onStorage = ({ key }: StorageEvent) => {
    if (key === keyOf(account) || key === null) listener(offlineChoice(account));
  };
  addEventListener("storage", onStorage);
  return () => removeEventListener("storage", onStorage);
}

function keyOf(account: string): string {
  return `tutti-demo.offline.${account}`;
}
