import { useRef } from "react";
import { useStore } from "tutti-sync/react";
import { moveFocus } from "../arrow-keys";
import { useChat } from "../sync";
import { Icon } from "./Icons";
import { SearchResults } from "./SearchResults";

/** A field to search in, and below it what is found; as long as nothing is searched for, something else. */
export function Search({ children }: { children: React.ReactNode }) {
  const chat = useChat();
  const text = useStore(chat.query);
  const pane = useRef<HTMLDivElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const query = text.trim();

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (query === "") return;
    const found = pane.current!.querySelectorAll<HTMLElement>("[data-testid=found]");
    if (event.key === "Escape") {
      event.preventDefault();
      chat.query.set("");
      field.current!.focus();
    } else if (event.target !== field.current || event.key === "ArrowDown") {
      moveFocus(event, [field.current!, ...found]);
    } else if (event.key === "Enter") found[0]?.click();
  };

  return (
    <div className="search" ref={pane} onKeyDown={onKeyDown}>
      <search className="search-field">
        <Icon name="search" />
        <input
          ref={field}
          type="search"
          data-testid="search"
          aria-label="Search in all messages on this device"
          placeholder="Search messages"
          value={text}
          onChange={(event) => chat.query.set(event.target.value)}
          maxLength={200}
          autoComplete="off"
          spellCheck={false}
          enterKeyHint="search"
        />
      </search>
      {query === "" ? children : <SearchResults query={query} />}
    </div>
  );
}
