import { useConversation, usePresence } from "tutti-sync/react";
import { describePresence } from "../people";
import { useChat } from "../sync";
import { isGroup, titleOf } from "../text";
import { Activity } from "./Activity";
import { Avatar } from "./Avatar";
import { Composer } from "./Composer";
import { Icon } from "./Icons";
import { MessageList } from "./MessageList";
import { PresenceDot } from "./PresenceDot";
import { Setting } from "./Setting";

export function ConversationView({ conversation }: { conversation: string }) {
  const chat = useChat();
  const title = titleOf(conversation);
  const { members = [], muted = false, pinned = false } = useConversation(conversation).conversation ?? {};
  return (
    <section className="conversation" aria-label={`Conversation with ${title}`}>
      <header className="conversation-head">
        <a className="button-icon back" href="#" aria-label="Back to all conversations">
          <Icon name="back" />
        </a>
        <Avatar name={title} shape={isGroup(conversation) ? "square" : undefined}>
          {!isGroup(conversation) && <PresenceDot account={title} />}
        </Avatar>
        <div className="conversation-names">
          <h2>{title}</h2>
          {isGroup(conversation) ? <p>{members.join(", ")}</p> : <PresenceInWords account={title} />}
        </div>
        <button
          className="button-icon"
          data-testid="wave"
          aria-label="Wave"
          title="Wave to those who are there"
          onClick={() => void chat.attempt(() => chat.waves.wave(conversation))}
        >
          <Icon name="wave" />
        </button>
        <Setting
          icon="pin"
          label="Keep at the top"
          on={pinned}
          onChange={(pinned) => void chat.setConversation(conversation, { pinned })}
        />
        <Setting
          icon="mute"
          label="Mute"
          on={muted}
          onChange={(muted) => void chat.setConversation(conversation, { muted })}
        />
      </header>
      <MessageList conversation={conversation} />
      <Activity conversation={conversation} />
      <Composer conversation={conversation} />
    </section>
  );
}

function PresenceInWords({ account }: { account: string }) {
  const { presence } = usePresence(account);
  return presence && <p data-testid="presence-in-words">{describePresence(presence)}</p>;
}
