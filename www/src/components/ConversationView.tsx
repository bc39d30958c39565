import { useChat, useConversation } from "../sync";
import { isGroup, titleOf } from "../text";
import { Avatar } from "./Avatar";
import { Composer } from "./Composer";
import { Icon } from "./Icons";
import { MessageList } from "./MessageList";

export function ConversationView({ conversation }: { conversation: string }) {
  const chat = useChat();
  const title = titleOf(conversation);
  const { members = [], muted = false, pinned = false } = useConversation(conversation) ?? {};
  return (
    <section className="conversation" aria-label={`Conversation with ${title}`}>
      <header className="conversation-head">
        <a className="button-icon back" href="#" aria-label="Back to all conversations">
          <Icon name="back" />
        </a>
        <Avatar name={title} shape={isGroup(conversation) ? "square" : undefined} />
        <div className="conversation-names">
          <h2>{title}</h2>
          {isGroup(conversation) && <p>{members.join(", ")}</p>}
        </div>
        <button
          className="button-icon"
          data-testid="pin"
          aria-label="Keep at the top"
          title={pinned ? "No longer keep at the top" : "Keep at the top"}
          aria-pressed={pinned}
          onClick={() => void chat.setConversation(conversation, { pinned: !pinned })}
        >
          <Icon name="pin" />
        </button>
        <button
          className="button-icon"
          data-testid="mute"
          aria-label="Mute"
          title={muted ? "No longer mute" : "Mute"}
          aria-pressed={muted}
          onClick={() => void chat.setConversation(conversation, { muted: !muted })}
        >
          <Icon name="mute" />
        </button>
      </header>
      <MessageList conversation={conversation} />
      <Composer conversation={conversation} />
    </section>
  );
}
