// tutti-sync/worker: the same client, in a dedicated worker that `init` starts. The page does none of the work of a sync,
// and all is called as with tutti-sync. What differs:
//
// - `status` and `config` say how it was when the worker last spoke, which it does before each answer and each event.
// - `setTyping`, `setPresence`, `sendStatus` and `setOffline` do not throw for an argument that makes no sense: there is
//   an event `error` then.
export * from "./index.js";
export { default } from "./index.js";
