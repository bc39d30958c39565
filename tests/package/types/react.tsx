import type { Device, Json, Message, Notification, Presence, Status, SyncClient, SyncError } from "tutti-sync";
import {
  SyncProvider,
  type Timeline,
  useConversation,
  useConversations,
  useDevices,
  useNotifications,
  useOpenClient,
  usePresence,
  useSession,
  useStatus,
  useStore,
  useSyncClient,
  useTimeline,
  useTyping,
} from "tutti-sync/react";
import { statusStore } from "tutti-sync/stores";
import { type Equal, holds } from "./equal.js";

type Content = { text: string };

export function App() {
  const { client, error } = useOpenClient({ url: "wss://chat.example/sync", account: "ann", token: "token" });
  holds<Equal<typeof client, SyncClient | null>>();
  holds<Equal<typeof error, SyncError | null>>();
  useOpenClient(null);
  const typed = useOpenClient<Content>(null).client;
  holds<Equal<typeof typed, SyncClient<Content> | null>>();
  // @ts-expect-error Whether there is something to open has to be said.
  useOpenClient();
  return (
    <SyncProvider client={client}>
      <Chat conversation="direct:ben" />
      <SyncProvider client={typed} />
      {/* @ts-expect-error There has to be a client, or null. */}
      <SyncProvider />
    </SyncProvider>
  );
}

function Chat({ conversation }: { conversation: string | null }) {
  const client = useSyncClient();
  // @ts-expect-error It may still be opening.
  client.send("direct:ben", "Hello");
  void useSyncClient<Content>()?.send("direct:ben", { text: "Hello" });
  // @ts-expect-error In this application messages say something else.
  void useSyncClient<Content>()?.send("direct:ben", "Hello");
  const timeline = useTimeline<Content>(conversation, { limit: 200 });
  holds<Equal<typeof timeline, Timeline<Content>>>();
  const { messages, hasOlder, loadOlder } = timeline;
  // @ts-expect-error Their content is what was said.
  const wrong: readonly Message<{ picture: string }>[] = messages;
  void wrong;
  // @ts-expect-error A conversation is named by a text.
  useTimeline(7);

  const { conversations } = useConversations<Content>();
  const last = conversations[0]?.lastMessage;
  if (last && last.state !== "recalled") holds<Equal<typeof last.content, Content>>();
  const head = useConversation(conversation).conversation;
  const unread: number | undefined = head?.unread;
  const typing = useTyping(conversation);
  holds<Equal<typeof typing, readonly string[]>>();
  const { presence } = usePresence("ben", { ask: true });
  holds<Equal<typeof presence, Presence | null>>();
  const { session, origin } = useSession<{ offset: number }>("article");
  holds<Equal<typeof origin, "local" | "tab" | "remote" | null>>();
  const offset: number | undefined = session?.fields.offset;
  const fields = useSession("other").session?.fields;
  const any: Json | undefined = fields?.["anything"];
  const { notifications } = useNotifications();
  holds<Equal<typeof notifications, readonly Notification[]>>();
  const { devices } = useDevices();
  holds<Equal<typeof devices, readonly Device[] | null>>();
  const status = useStatus();
  holds<Equal<typeof status, Status | null>>();
  holds<Equal<ReturnType<typeof useStore<number>>, number>>();
  const same: Status | null = useStore(statusStore(client));
  void [unread, offset, any, same];

  return (
    <button disabled={!hasOlder} onClick={() => void loadOlder()}>
      {typing.join()}
      {messages.map((message) => (
        <p key={message.id}>{message.state === "recalled" ? "recalled" : message.content.text}</p>
      ))}
    </button>
  );
}
