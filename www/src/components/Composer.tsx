import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useChat } from "../sync";
import { titleOf } from "../text";
import { Icon } from "./Icons";

/** Never disabled: what is written without a network is kept and sent later. */
export function Composer({ conversation }: { conversation: string }) {
  const chat = useChat();
  const [draft, setDraft] = useState(() => chat.drafts.get(conversation) ?? "");
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => void chat.drafts.set(conversation, draft), [chat, conversation, draft]);
  useLayoutEffect(() => growToFit(area.current!), [draft]);
  useEffect(() => {
    // On a touch screen this would open the keyboard over the messages.
    if (matchMedia("(pointer: fine)").matches) area.current!.focus();
  }, []);

  const send = async () => {
    if (draft.trim() === "") return;
    setDraft("");
    try {
      await chat.send(conversation, draft);
    } catch (error) {
      chat.report(error);
      // Kept there too, in case another conversation is on screen by now.
      chat.drafts.set(conversation, draft);
      setDraft((typedMeanwhile) => draft + typedMeanwhile);
    }
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    // While an input method is composing, Enter chooses a character.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    void send();
  };

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <textarea
        ref={area}
        data-testid="composer"
        aria-label={`Message to ${titleOf(conversation)}`}
        placeholder="Write a message"
        rows={1}
        enterKeyHint="send"
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <button className="button-send" data-testid="send" aria-label="Send">
        <Icon name="send" />
      </button>
    </form>
  );
}

function growToFit(area: HTMLTextAreaElement): void {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
