"use client";

import { SyncProvider, useOpenClient, useStatus, useSyncClient, useTimeline } from "tutti-sync/react";

const SYNC = `${process.env.NEXT_PUBLIC_TUTTI_SERVER ?? "http://localhost:8787"}/sync`.replace("http", "ws");

export function Chat({ me, to }) {
  const { client, error } = useOpenClient({
    url: SYNC,
    account: me,
    token: () => fetch(`/back-end/token/${me}`).then((answer) => answer.text()),
  });
  if (error !== null) return <p role="alert">{error.message}</p>;
  return (
    <SyncProvider client={client}>
      <h1>
        {me}: {to}
      </h1>
      <Messages conversation={`direct:${to}`} />
      <Status />
    </SyncProvider>
  );
}

function Messages({ conversation }) {
  const client = useSyncClient(); // null on the server, and while it opens
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
  const key = await (await fetch("/back-end/push-key")).text();
  await client.configure({ pushNotificationSenderId: key });
  const worker = `/sw.js?sync=${encodeURIComponent(SYNC)}`;
  await client.enablePush(await navigator.serviceWorker.register(worker, { type: "module" }));
}
