// tutti-sync/react: what a client knows, as React hooks on the stores of tutti-sync/stores. Without a client, and on a
// server, each gives what its store begins with.
import { createContext, createElement, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";
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
  timelineStore,
  typingStore,
} from "./stores.js";

const ClientContext = createContext(null);

export function SyncProvider({ client, children }) {
  // So that it is known who has begun to type before a conversation is on screen.
  useEffect(() => (client === null ? undefined : allTypingStore(client).subscribe(() => {})), [client]);
  return createElement(ClientContext.Provider, { value: client }, children);
}

export function useSyncClient() {
  return useContext(ClientContext);
}

export function useOpenClient(options, entry) {
  const key = options === null ? null : JSON.stringify([String(options.url), options.account]);
  const open = () => ({ key, store: openingStore(options, entry) });
  // Not a memo, which React may forget: it would open another client.
  const [opening, setOpening] = useState(open);
  if (opening.key !== key) setOpening(open);
  return useStore(opening.store);
}

export function useStore(store) {
  const now = () => store.value;
  return useSyncExternalStore(store.subscribe, now, "initial" in store ? () => store.initial : now);
}

export function useStatus() {
  return useStore(statusStore(useSyncClient()));
}

export function useConversations() {
  return useStore(conversationsStore(useSyncClient()));
}

export function useConversation(id) {
  return useStore(conversationStore(useSyncClient(), id));
}

export function useTimeline(conversation, options) {
  const store = timelineStore(useSyncClient(), conversation, options);
  const view = useStore(store);
  return useMemo(() => {
    const { loadOlder, loadNewer, loadLatest, loadAround, follow } = store;
    return { ...view, loadOlder, loadNewer, loadLatest, loadAround, follow };
  }, [store, view]);
}

export function useTyping(conversation) {
  return useStore(typingStore(useSyncClient(), conversation));
}

export function usePresence(account, options) {
  return useStore(presenceStore(useSyncClient(), account, options));
}

export function useSession(key) {
  return useStore(sessionStore(useSyncClient(), key));
}

export function useNotifications(options) {
  return useStore(notificationsStore(useSyncClient(), options));
}

export function useDevices() {
  return useStore(devicesStore(useSyncClient()));
}
