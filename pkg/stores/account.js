// What an account has, one store a thing: its conversations, sessions, notifications and devices, and how it is synced.
import { createReading, createStore, keep, keepAll, NONE, onConnection, shared, still } from "./store.js";

const idOf = ({ id }) => id;
/** For {@link createReading}: of a list. */
const byId = { merge: (before, after) => keepAll(before ?? NONE, after, idOf) };

const NO_STATUS = still(null);

export function statusStore(client) {
  if (client === null) return NO_STATUS;
  return shared(client, ["status"], () => {
    const begin = (set, get) => {
      const hear = (status) => set(keep(get(), status));
      const off = client.on("status", hear);
      hear(client.status());
      return off;
    };
    return createStore(null, begin, () => client.status());
  });
}

const CONVERSATIONS = Object.freeze({ conversations: NONE, loading: true, error: null });
const NO_CONVERSATIONS = still(CONVERSATIONS);

export function conversationsStore(client) {
  if (client === null) return NO_CONVERSATIONS;
  const listen = ({ told, again, current }) => {
    const hear = (changed) => {
      const known = current();
      // What is being read may be older than this, and is read once more.
      if (known === null) again();
      else told(inListOrder(replaced(known, changed)));
    };
    // Nobody is told of those that went with a log that was replaced.
    const offs = [client.on("conversations", hear), client.on("catch-up", again)];
    again();
    return offs;
  };
  const read = () => client.conversations();
  return shared(client, ["conversations"], () =>
    createReading(CONVERSATIONS, "conversations", read, listen, byId),
  );
}

/** As the client lists them. */
function inListOrder(conversations) {
  return conversations.sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.lastActivity - a.lastActivity || (a.id < b.id ? -1 : 1),
  );
}

function replaced(known, changed) {
  const all = new Map(known.map((each) => [each.id, each]));
  for (const each of changed) all.set(each.id, each);
  return [...all.values()];
}

const CONVERSATION = Object.freeze({ conversation: null, loading: true, error: null });
const NO_CONVERSATION = still(CONVERSATION);

export function conversationStore(client, id) {
  if (client === null || id === null) return NO_CONVERSATION;
  const listen = ({ told, again }) => {
    const hear = (changed) => {
      const conversation = changed.find((each) => each.id === id);
      if (conversation !== undefined) told(conversation);
    };
    const offs = [client.on("conversations", hear), client.on("catch-up", again)];
    again();
    return offs;
  };
  const read = () => client.conversation(id);
  // Who has the list on screen need not wait for one of it.
  const peek = () => {
    const listed = conversationsStore(client).value.conversations.find((each) => each.id === id);
    return listed === undefined ? CONVERSATION : { conversation: listed, loading: false, error: null };
  };
  return shared(client, ["conversation", id], () =>
    createReading(CONVERSATION, "conversation", read, listen, { peek }),
  );
}

const SESSION = Object.freeze({ session: null, origin: null, loading: true, error: null });
const NO_SESSION = still(SESSION);

export function sessionStore(client, key) {
  if (client === null || key === null) return NO_SESSION;
  const listen = ({ told, again }) => {
    const hear = ({ origin, ...session }) => {
      if (session.key !== key) return;
      const isThere = Object.keys(session.fields).length > 0;
      told(isThere ? session : null, { origin });
    };
    const off = client.on("session", hear);
    again();
    return [off];
  };
  const read = () => client.session(key);
  return shared(client, ["session", key], () => createReading(SESSION, "session", read, listen));
}

const NOTIFICATIONS = Object.freeze({ notifications: NONE, loading: true, error: null });
const NO_NOTIFICATIONS = still(NOTIFICATIONS);

export function notificationsStore(client, { includeDismissed = false } = {}) {
  if (client === null) return NO_NOTIFICATIONS;
  // At most two hundred, so it is simplest to read them all anew.
  const read = () => client.notifications({ includeDismissed });
  const listen = ({ again }) => {
    const off = client.on("notifications", again);
    again();
    return [off];
  };
  return shared(client, ["notifications", includeDismissed], () =>
    createReading(NOTIFICATIONS, "notifications", read, listen, byId),
  );
}

const DEVICES = Object.freeze({ devices: null, loading: true, error: null });
const NO_DEVICES = still(DEVICES);

export function devicesStore(client) {
  if (client === null) return NO_DEVICES;
  const listen = ({ told, again }) => [
    client.on("devices", (devices) => told(devices)),
    // What has changed while there was no connection is not told afterwards.
    onConnection(client, (online) => online && again()),
  ];
  return shared(client, ["devices"], () =>
    createReading(DEVICES, "devices", () => client.devices(), listen, byId),
  );
}
