import { useSyncExternalStore } from "react";

/** The conversation on screen is in the address, so that Back and reload do what they say. */
export function useSelected(): string | null {
  return useSyncExternalStore(subscribe, selected);
}

export function hrefOf(conversation: string): string {
  return `#${encodeURIComponent(conversation)}`;
}

export function select(conversation: string): void {
  location.hash = hrefOf(conversation);
}

function selected(): string | null {
  const encoded = location.hash.slice(1);
  if (encoded === "") return null;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return null;
  }
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}
