import { useState } from "react";
import { select } from "../route";
import { Icon } from "./Icons";

export function NewConversation() {
  const [name, setName] = useState("");

  const open = (event: React.FormEvent) => {
    event.preventDefault();
    select(conversationFor(name.trim()));
    setName("");
  };

  return (
    <form className="new-conversation" onSubmit={open}>
      <input
        data-testid="new-conversation"
        aria-label="Write to an account, or to group: and its name"
        placeholder="Write to… (bob, group:choir)"
        value={name}
        onChange={(event) => setName(event.target.value)}
        autoCapitalize="none"
        autoComplete="off"
        spellCheck={false}
        pattern=".*\S.*"
        required
      />
      <button className="button-icon" data-testid="new-conversation-open" aria-label="Open the conversation">
        <Icon name="plus" />
      </button>
    </form>
  );
}

function conversationFor(name: string): string {
  return /^(direct|group):/.test(name) ? name : `direct:${name}`;
}
