import init, { SyncClient } from "tutti-sync";
import { statusStore, timelineStore } from "tutti-sync/stores";

// Whose chat with whom: /?me=anna&to=ben
const query = new URLSearchParams(location.search);
const account = query.get("me") ?? "anna";
const conversation = `direct:${query.get("to") ?? "ben"}`;

await init();
const client = await SyncClient.open({ url: `${location.origin.replace("http", "ws")}/sync`, account, token });

const [title, list, form, status] = ["h1", "ul", "form", "[role=status]"].map((each) => document.querySelector(each));
title.textContent = `${account}: ${conversation}`;

timelineStore(client, conversation).subscribe(({ messages }) => {
  list.replaceChildren(
    ...messages.map(({ sender, state, content }) => {
      const line = document.createElement("li");
      line.className = state;
      line.textContent = `${sender}: ${content?.text ?? "recalled"}`;
      return line;
    }),
  );
});
statusStore(client).subscribe(({ role, connection }) => {
  status.textContent = `${role}, ${connection}`;
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { text } = Object.fromEntries(new FormData(form));
  form.reset();
  await client.send(conversation, { text });
});

document.querySelector("#notify").addEventListener("click", async () => {
  const { public_key: key } = await (await fetch("/api/push")).json();
  await client.configure({ pushNotificationSenderId: key });
  await client.enablePush(await navigator.serviceWorker.register(new URL("sw.js", import.meta.url), { type: "module" }));
});

/** Your own back end does this, once it knows who is asking; a server with `--dev` gives a token to anyone. */
async function token() {
  const answer = await fetch("/api/tokens", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ account }),
  });
  return (await answer.json()).token;
}
