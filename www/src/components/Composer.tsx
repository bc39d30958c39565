import { useEffect, useLayoutEffect, useRef } from "react";
import { useDraft } from "../draft";
import { useChat } from "../sync";
import { titleOf } from "../text";
import { Icon } from "./Icons";

/** Never disabled: what is written without a network is kept and sent later. */
export function Composer({ conversation }: { conversation: string }) {
  const chat = useChat();
  const [draft, type] = useDraft(conversation);
  const area = useRef<HTMLTextAreaElement>(null);

  useLayoutEffect(() => growToFit(area.current!), [draft]);
  useEffect(() => {
    // On a touch screen this would open the keyboard over the messages.
    if (matchMedia("(pointer: fine)").matches) area.current!.focus();
    // Another conversation, or none: what was typed is to be there on the next device.
    return chat.flush;
  }, [chat]);

  const send = async () => {
    if (draft.trim() === "") return;
    type("");
    try {
      await chat.send(conversation, draft);
    } catch (error) {
      chat.report(error);
      // Kept for all devices, too, in case another conversation is on screen by now.
      type(draft + (area.current?.value ?? ""));
    }
    chat.flush();
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
        onChange={({ target }) => {
          type(target.value);
          void chat.attempt(() => chat.client.setTyping(conversation, target.value !== ""));
        }}
        onKeyDown={onKeyDown}
        // Not for the button, which sends it.
        onBlur={({ currentTarget, relatedTarget }) => currentTarget.form!.contains(relatedTarget) || chat.flush()}
      />
      <button className="button-send" data-testid="send" aria-label="Send">
        <Icon name="send" />
      </button>
    </form>
  );
}

export function growToFit(area: HTMLTextAreaElement): void {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}
