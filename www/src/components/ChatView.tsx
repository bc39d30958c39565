import { useEffect, useState } from "react";
import { useConversations } from "tutti-sync/react";
import { ARTICLE } from "../article";
import { useDeviceName } from "../devices";
import { PLAYER, Player } from "../player";
import { useSelected } from "../route";
import { addressFor, type SignIn } from "../session";
import { useChat } from "../sync";
import { Announcer } from "./Announcer";
import { ArticleView } from "./ArticleView";
import { Avatar } from "./Avatar";
import { ConnectionLimit } from "./ConnectionLimit";
import { ConversationList } from "./ConversationList";
import { ConversationView } from "./ConversationView";
import { DEVICES, DevicesView } from "./DevicesView";
import { Errors } from "./Errors";
import { InsidePanel } from "./InsidePanel";
import { NewConversation } from "./NewConversation";
import { NoticeList } from "./NoticeList";
import { NothingSelected } from "./NothingSelected";
import { OwnPresence } from "./OwnPresence";
import { PlayerView } from "./PlayerView";
import { Search } from "./Search";
import { Shelf } from "./Shelf";
import { StatusLine } from "./StatusLine";

export function ChatView({ signIn, onSignOut }: { signIn: SignIn; onSignOut: () => void }) {
  const selected = useSelected();
  const player = usePlayer(signIn.device);
  const device = useDeviceName(signIn.device);
  const [inside, setInside] = useState(false);
  useUnreadInTitle();

  return (
    <div className="chat" data-showing={selected === null ? "list" : "conversation"}>
      <aside className="sidebar">
        <header className="profile">
          <Avatar name={signIn.account} />
          <div className="profile-names">
            <h1>
              {signIn.account} <small data-testid="own-device">{device}</small>
            </h1>
            <OwnPresence />
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
        <NoticeList />
        <Search>
          <ConversationList selected={selected} />
        </Search>
        <Shelf selected={selected} player={player} device={signIn.device} />
      </aside>
      <main className="stage">
        <Stage selected={selected} player={player} device={signIn.device} onSignOut={onSignOut} />
      </main>
      {inside && <InsidePanel />}
      <StatusLine inside={inside} onInside={setInside} />
      <Errors />
      <Announcer />
    </div>
  );
}

interface StageProps {
  selected: string | null;
  player: Player;
  device: string;
  onSignOut: () => void;
}

/** The address is a conversation, the devices, or the key of what the user is doing. */
function Stage({ selected, player, device, onSignOut }: StageProps) {
  switch (selected) {
    case null:
      return <NothingSelected />;
    case ARTICLE.key:
      return <ArticleView device={device} />;
    case PLAYER:
      return <PlayerView player={player} />;
    case DEVICES:
      return <DevicesView onSignOut={onSignOut} />;
    default:
      return <ConversationView key={selected} conversation={selected} />;
  }
}

/** It plays on whatever is on screen. */
function usePlayer(device: string): Player {
  const chat = useChat();
  const [player] = useState(() => new Player(chat, device));
  useEffect(() => player.start(), [player]);
  return player;
}

function useUnreadInTitle(): void {
  const { conversations } = useConversations();
  const unread = conversations.reduce((sum, { muted, unread }) => sum + (muted ? 0 : unread), 0);
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Tutti` : "Tutti";
    return () => void (document.title = "Tutti");
  }, [unread]);
}
