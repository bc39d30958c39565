import { SyncError } from "tutti-sync";

export interface Explanation {
  readonly what: string;
  readonly advice: string;
}

const EXPLANATIONS: Record<string, Explanation> = {
  auth: { what: "The server did not accept who you are.", advice: "Sign out and sign in again." },
  forbidden: { what: "You may not do that here.", advice: "Ask whoever runs this chat for access." },
  "not-found": { what: "There is nothing by that name.", advice: "Check the name, or ask to be added to the group." },
  invalid: { what: "That name or message is not allowed.", advice: "Check it for odd characters and try again." },
  conflict: { what: "This was already sent with other content.", advice: "Send it again as a new message." },
  offline: { what: "There is no connection.", advice: "Go on writing: all of it is kept here and sent later." },
  "connection-limit": {
    what: "This account is open in too many browsers.",
    advice: "Close it in one of them. Until then this one checks for news from time to time.",
  },
  "rate-limited": { what: "That was a lot at once.", advice: "Nothing is lost; the rest is sent in a moment." },
  "too-large": { what: "That message is too long.", advice: "Send it in several parts." },
  quota: { what: "This browser has no room left.", advice: "Free some space on this device, then try again." },
  storage: { what: "This browser could not store the chat.", advice: "Reload the page. Private windows may not allow it." },
  version: { what: "Another tab runs a newer version.", advice: "Reload this tab to get it too." },
  revoked: { what: "This device was removed from the account.", advice: "Sign in again to add it back." },
  closed: { what: "This chat was closed.", advice: "Reload the page." },
  timeout: { what: "The server took too long to answer.", advice: "It is tried again without your doing." },
  protocol: { what: "The server said something unexpected.", advice: "Reload the page; it may have been updated." },
  unsupported: { what: "This browser lacks something the chat needs.", advice: "Update it, or try another one." },
  internal: { what: "Something broke in this tab.", advice: "Reload the page; your messages are safe." },
};

/** What happened and what to do about it, for people. */
export function explain(error: unknown): Explanation {
  if (error instanceof SyncError) return explainCode(error.code);
  const reason = error instanceof Error ? error.message : String(error);
  return { what: "Something went wrong.", advice: `Reload the page. (${reason})` };
}

export function explainCode(code: string): Explanation {
  return EXPLANATIONS[code] ?? { what: "Something went wrong.", advice: `Try again. (${code})` };
}
