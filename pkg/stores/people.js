// What holds at this moment only, and is nowhere kept: who types, and who is there.
import { all, createStore, keep, NONE, onConnection, shared, still } from "./store.js";

const NOBODY = still(NONE);

/** Who types, by conversation. The client tells when it begins and when it ends, so whoever has not listened from the
 *  beginning does not know. */
export function allTypingStore(client) {
  const begin = (set, get) =>
    client.on("typing", ({ conversation, account, typing }) => {
      // What the user types on another device is no news.
      if (account === client.account) return;
      const before = get().get(conversation) ?? NONE;
      const others = before.filter((other) => other !== account);
      set(new Map(get()).set(conversation, keep(before, typing ? [...others, account] : others)));
    });
  return shared(client, ["all typing"], () => createStore(new Map(), begin));
}

export function typingStore(client, conversation) {
  if (client === null || conversation === null) return NOBODY;
  return shared(client, ["typing", conversation], () =>
    createStore(NONE, (set) => allTypingStore(client).subscribe((typing) => set(typing.get(conversation) ?? NONE))),
  );
}

const PRESENCE = Object.freeze({ presence: null, error: null });
const NO_PRESENCE = still(PRESENCE);

export function presenceStore(client, account, { ask = true } = {}) {
  if (client === null || account === null) return NO_PRESENCE;
  const begin = (set) => {
    const presences = presencesStore(client);
    const off = presences.subscribe((known) => set(known.get(account) ?? PRESENCE));
    return ask ? all([presences.ask(account), off]) : off;
  };
  return shared(client, ["presence", account, ask], () => createStore(PRESENCE, begin));
}

/** How accounts are, as far as that is known: by account, as {@link presenceStore} has it. */
function presencesStore(client) {
  return shared(client, ["presences"], () => {
    /** How many look at each. */
    const wanted = new Map();
    let askNow = null;

    const begin = (set, get) => {
      let online = false;
      /** On this connection. */
      const asked = new Set();
      const show = (account, state) => set(new Map(get()).set(account, keep(get().get(account), state)));

      askNow = async (account) => {
        if (!online || asked.has(account)) return;
        asked.add(account);
        let answer;
        try {
          answer = { presence: await client.presence(account), error: null };
        } catch (error) {
          asked.delete(account);
          answer = { presence: null, error };
        }
        // What was told meanwhile is newer.
        if (online && !get().get(account)?.presence) show(account, answer);
      };

      return all([
        client.on("presence", (presence) => show(presence.account, { presence, error: null })),
        onConnection(client, (now) => {
          online = now;
          asked.clear();
          // Without a connection nobody knows; on the next one nothing is told before it is asked for.
          if (online) for (const account of wanted.keys()) askNow(account);
          else set(new Map());
        }),
      ]);
    };

    /** Has the server say how an account is, now and on each connection, until the returned function is called. */
    const ask = (account) => {
      wanted.set(account, (wanted.get(account) ?? 0) + 1);
      askNow(account);
      return () => {
        const others = wanted.get(account) - 1;
        if (others > 0) wanted.set(account, others);
        else wanted.delete(account);
      };
    };

    return Object.assign(createStore(new Map(), begin), { ask });
  });
}
