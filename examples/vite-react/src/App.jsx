import { SyncProvider, useOpenClient, useStatus, useSyncClient, useTimeline } from "tutti-sync/react";
import worker from "./sw.js?worker&url";

export function App({ me, to }) {
  const url = `${location.origin.replace("http", "ws")}/sync`;
  const { client, error } = useOpenClient({ url, account: me, token: () => fetchToken(me) });
  if (error !== null) return <p role="alert">{error.message}</p>;
  return (
    <SyncProvider client={client}>
      <h1>
        {me}: {to}
      </h1>
      <Chat conversation={`direct:${to}`} />
      <Status />
    </SyncProvider>
  );
}

function Chat({ conversation }) {
  const client = useSyncClient();
  const { messages, hasOlder, loadOlder } = useTimeline(conversation);
  const send = (data) => client.send(conversation, { text: data.get("text") });
  return (
    <>
      {hasOlder && <button onClick={loadOlder}>Earlier</button>}
      <ul>
        {messages.map(({ id, sender, state, content }) => (
          <li key={id} className={state}>
            {`${sender}: ${content?.text ?? "recalled"}`}
          </li>
        ))}
      </ul>
      <form action={send}>
        <input name="text" aria-label="Message" autoComplete="off" required />
        <button disabled={client === null}>Send</button>
      </form>
    </>
  );
}

function Status() {
  const client = useSyncClient();
  const status = useStatus();
  if (status === null) return <p role="status">opening</p>;
  return (
    <>
      <p role="status">
        {status.role}, {status.connection}
      </p>
      <button id="notify" onClick={() => notify(client)}>
        Notify me
      </button>
    </>
  );
}

async function notify(client) {
  const { public_key: key } = await (await fetch("/api/push")).json();
  await client.configure({ pushNotificationSenderId: key });
  await client.enablePush(await navigator.serviceWorker.register(worker, { type: "module" }));
}

/** Your own back end does this, once it knows who is asking; a server with `--dev` gives a token to anyone. */
async function fetchToken(account) {
  const answer = await fetch("/api/tokens", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ account }),
  });
  return (await answer.json()).token;
}
