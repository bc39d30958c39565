import type { Conversation, Device, Json, Message, Status, SyncClient, SyncError } from "tutti-sync";
import {
  allTypingStore,
  conversationsStore,
  conversationStore,
  devicesStore,
  notificationsStore,
  openingStore,
  presenceStore,
  sessionStore,
  statusStore,
  type Store,
  timelineStore,
  typingStore,
} from "tutti-sync/stores";
import { type Equal, holds } from "./equal.js";

declare const client: SyncClient;
type Content = { text: string };
declare const chat: SyncClient<Content>;

const status = statusStore(client);
holds<Equal<typeof status, Store<Status | null>>>();
const off: () => void = status.subscribe((status) => status?.connection);
off();
// @ts-expect-error It is given by the client alone.
status.value = null;
// @ts-expect-error There is no such thing to call.
status.set(null);
// @ts-expect-error Whether there is a client has to be said.
statusStore();

// What Svelte wants of a store.
interface Readable<T> {
  subscribe(this: void, run: (value: T) => void, invalidate?: () => void): () => void;
}
const readable: Readable<Status | null> = status;
void readable;

const timeline = timelineStore<Content>(null, null, { at: null, page: 20, limit: 200 });
for (const message of timeline.value.messages) {
  // @ts-expect-error It may be recalled, and then there is none.
  message.content.text.trim();
  if (message.state !== "recalled") message.content.text.trim();
  else holds<Equal<typeof message.content, null>>();
}
// @ts-expect-error It is for the client to change.
timeline.value.messages.push(timeline.value.messages[0]!);
holds<Equal<typeof timeline.value.error, SyncError | null>>();
holds<Equal<typeof timeline.value.loading, "latest" | "around" | "older" | "newer" | null>>();
holds<Equal<(typeof timeline.value.holes)[number]["reason"], "offline" | "expired" | "disabled">>();
const { loadOlder, loadAround } = timeline;
const found: Promise<boolean> = loadAround("id");
void found;
void loadOlder();
// @ts-expect-error One message is named by one id.
void loadAround(7);
// @ts-expect-error No such option.
timelineStore(client, "direct:ben", { before: 7 });

// What messages say, the client's type tells.
holds<Equal<typeof timeline, ReturnType<typeof timelineStore<Content>>>>();
const told = timelineStore(chat, "direct:ben");
holds<Equal<typeof told, typeof timeline>>();
// @ts-expect-error This client's messages say anything.
timelineStore<Content>(client, "direct:ben");
statusStore(chat);

// Without a type it is any message, and one can be handed on as such.
const plain = timelineStore(client, "direct:ben").value.messages[0]!;
const message: Message = plain;
void message;
holds<Equal<typeof plain, Message<Json>>>();

const conversations = conversationsStore(client).value.conversations;
const conversation: Conversation | undefined = conversations[0];
void conversation;
const last = conversationStore(chat, "direct:ben").value.conversation?.lastMessage;
if (last && last.state !== "recalled") last.content.text.trim();

type Playing = { track: string; position: number };
const { session } = sessionStore<Playing>(client, "player").value;
holds<Equal<NonNullable<typeof session>["fields"], Partial<Playing>>>();
// @ts-expect-error It may be that it was never set.
const track: string = session!.fields.track;
void track;

holds<Equal<ReturnType<typeof devicesStore>["value"]["devices"], readonly Device[] | null>>();
const typing: readonly string[] = typingStore(client, "direct:ben").value;
const all: ReadonlyMap<string, readonly string[]> = allTypingStore(client).value;
// @ts-expect-error There has to be a client.
allTypingStore(null);
void [typing, all];
presenceStore(client, "ben", { ask: false }).value.presence?.lastSeen;
// @ts-expect-error Only dismissed ones can be asked for.
notificationsStore(client, { includeRead: true });
openingStore({ url: "wss://chat.example/sync", account: "ann", token: () => "token" });
// @ts-expect-error Without a token nobody gets in.
openingStore({ url: "wss://chat.example/sync", account: "ann" });
