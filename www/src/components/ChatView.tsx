import { useEffect } from "react";
import { useSelected } from "../route";
import { addressFor, type SignIn } from "../session";
import { useConversations } from "../sync";
import { Announcer } from "./Announcer";
import { Avatar } from "./Avatar";
import { ConnectionLimit } from "./ConnectionLimit";
import { ConversationList } from "./ConversationList";
import { ConversationView } from "./ConversationView";
import { Errors } from "./Errors";
import { NewConversation } from "./NewConversation";
import { NothingSelected } from "./NothingSelected";
import { StatusLine } from "./StatusLine";

export function ChatView({ signIn, onSignOut }: { signIn: SignIn; onSignOut: () => void }) {
  const selected = useSelected();
  useUnreadInTitle();

  return (
    <div className="chat" data-showing={selected === null ? "list" : "conversation"}>
      <aside className="sidebar">
        <header className="profile">
          <Avatar name={signIn.account} />
          <div className="profile-names">
            <h1>{signIn.account}</h1>
            <p>{signIn.device}</p>
          </div>
          <a className="button-quiet" href={addressFor(signIn)} target="_blank" rel="noopener">
            New tab
          </a>
          <button className="button-quiet" onClick={onSignOut}>
            Sign out
          </button>
        </header>
        <NewConversation />
        <ConnectionLimit />
        <ConversationList selected={selected} />
      </aside>
      <main className="stage">
        {selected === null ? <NothingSelected /> : <ConversationView key={selected} conversation={selected} />}
      </main>
      <StatusLine />
      <Errors />
      <Announcer />
    </div>
  );
}

function useUnreadInTitle(): void {
  const unread = useConversations().reduce((sum, conversation) => sum + (conversation.muted ? 0 : conversation.unread), 0);
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Tutti` : "Tutti";
    return () => void (document.title = "Tutti");
  }, [unread]);
}
