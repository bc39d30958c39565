import init, { type Events, type Message, SyncClient, type SyncError } from "tutti-sync";
import { type Equal, holds } from "./equal.js";

// An interface, too, which TypeScript takes for no `Json`.
interface Content {
  text: string;
}
await init();
const client = await SyncClient.open<Content>({ url: "wss://chat.example/sync", account: "ann", token: "token" });

const sent = await client.send("direct:ben", { text: "Hello" }, { type: "text" });
holds<Equal<typeof sent, Message<Content>>>();
// @ts-expect-error In this application messages say something else.
await client.send("direct:ben", "Hello");
// @ts-expect-error There is more than a picture to it.
await client.edit(sent.id, { picture: "cat.png" });
await client.edit(sent.id, { text: "Hello!" });

const { messages } = await client.history("direct:ben");
for (const message of [...messages, ...(await client.search("hello"))]) {
  // @ts-expect-error It may be recalled, and then there is none.
  message.content.text.trim();
  if (message.state === "recalled") holds<Equal<typeof message.content, null>>();
  else holds<Equal<typeof message.content, Content>>();
}
const one = await client.message(sent.id);
const last = (await client.conversation("direct:ben"))?.lastMessage;
const first = (await client.conversations())[0]?.lastMessage;
holds<Equal<typeof one, Message<Content> | null>>();
holds<Equal<typeof last, Message<Content> | null | undefined>>();
holds<Equal<typeof first, Message<Content> | null | undefined>>();

client.on("messages", (changes) => {
  for (const { message } of changes) holds<Equal<typeof message, Message<Content>>>();
});
client.on("conversations", ([conversation]) => {
  holds<Equal<typeof conversation, Events<Content>["conversations"][number] | undefined>>();
});
client.on("error", (error) => holds<Equal<typeof error, SyncError>>());
// @ts-expect-error There is no such event.
client.on("message", () => {});

// Without a type messages say anything that JSON can.
const plain = await SyncClient.open({ url: "wss://chat.example/sync", account: "ann", token: "token" });
await plain.send("direct:ben", { any: ["thing", 7, null] });
// @ts-expect-error No JSON says when.
await plain.send("direct:ben", { at: new Date() });
// @ts-expect-error Whoever reads a client as one of another content would send that.
const other: SyncClient<{ picture: string }> = client;
void other;
