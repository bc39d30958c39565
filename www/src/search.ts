import { useEffect, useState } from "react";
import type { Message } from "tutti-sync";
import { useChat } from "./sync";

/** How many messages are shown at most: who does not find it among these, types another word. */
export const MOST_FOUND = 50;
/** How long nothing is typed before it is searched for, in milliseconds. */
const TYPING_MS = 120;
/** Characters of a snippet, and how many of them may stand before the match. */
const SNIPPET = 120;
const BEFORE = 24;

export interface Found {
  readonly query: string;
  readonly messages: readonly Message[];
}

/** What on this device contains a query, in step with what is written, edited and recalled. Null: not searched yet. */
export function useSearch(query: string): Found | null {
  const chat = useChat();
  const [found, setFound] = useState<Found | null>(null);

  useEffect(() => {
    setFound((before) => (query === "" ? null : before));
    if (query === "") return;
    let wanted = true;
    let searching = false;
    let changed = false;
    const search = async () => {
      changed = true;
      if (searching) return;
      searching = true;
      try {
        while (changed && wanted) {
          changed = false;
          const messages = await chat.client.search(query, { limit: MOST_FOUND });
          if (wanted) setFound({ query, messages });
        }
      } finally {
        searching = false;
      }
    };
    const timer = setTimeout(() => void chat.attempt(search), TYPING_MS);
    const off = chat.client.on("messages", () => void chat.attempt(search));
    return () => {
      wanted = false;
      clearTimeout(timer);
      off();
    };
  }, [chat, query]);

  return found;
}

/** A text in pieces, by turns one that does not match and one that does. */
export function pieces(text: string, query: string): string[] {
  const words = query.split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return [text];
  // The longest first: of two words that begin alike, it has more to show.
  const longest = words.sort((a, b) => b.length - a.length);
  return text.split(new RegExp(`(${longest.map(literally).join("|")})`, "giu"));
}

/** What is around the first match, in one line that is short enough for a list. */
export function snippet(text: string, query: string): string {
  const line = text.replace(/\s+/g, " ");
  const match = pieces(line, query)[0]!.length;
  if (match <= BEFORE || match === line.length) return line.slice(0, SNIPPET);
  // From the beginning of a word on, if one begins there.
  const from = line.slice(match - BEFORE, match).indexOf(" ") + match - BEFORE + 1;
  return `…${line.slice(from, from + SNIPPET)}`;
}

function literally(word: string): string {
  return word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
