import { isGroup, titleOf } from "../text";
import { useConversation } from "../sync";
import { Avatar } from "./Avatar";
import { Composer } from "./Composer";
import { Icon } from "./Icons";
import { MessageList } from "./MessageList";

export function ConversationView({ conversation }: { conversation: string }) {
  const title = titleOf(conversation);
  const members = useConversation(conversation)?.members ?? [];
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
      </header>
      <MessageList conversation={conversation} />
      <Composer conversation={conversation} />
    </section>
  );
}
