import { useCallback, useEffect, useRef, useState } from "react";
import { useConversation } from "tutti-sync/react";
import { useChat } from "./sync";

/**
 * What was typed and not sent, on all devices. It is kept as it is typed, and follows what is typed elsewhere, but never
 * takes away what is being typed here.
 */
export function useDraft(conversation: string): [string, (text: string) => void] {
  const chat = useChat();
  const shared = useConversation(conversation).conversation?.draft ?? "";
  const [text, setText] = useState(() => chat.draftBeingKept(conversation) ?? shared);
  const known = useRef(shared);

  useEffect(() => {
    if (shared === known.current) return;
    known.current = shared;
    // What was written here comes back, perhaps when more has been typed.
    if (!chat.isOwnDraft(conversation, shared)) setText(shared);
  }, [chat, conversation, shared]);

  const type = useCallback(
    (text: string) => {
      setText(text);
      chat.keepDraft(conversation, text);
    },
    [chat, conversation],
  );
  return [text, type];
}
