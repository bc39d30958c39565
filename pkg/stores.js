// tutti-sync/stores: what a client knows, as values over time that any framework can show.
export {
  conversationsStore,
  conversationStore,
  devicesStore,
  notificationsStore,
  sessionStore,
  statusStore,
} from "./stores/account.js";
export { openingStore } from "./stores/opening.js";
export { allTypingStore, presenceStore, typingStore } from "./stores/people.js";
export { timelineStore } from "./stores/timeline.js";
