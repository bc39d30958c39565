import { fetchToken } from "./token";

/** What the server says to a registration: a message, and if it refuses, because of which field. */
export type Answer = { ok: true; message: string } | { ok: false; field: string | null; message: string };

/**
 * Has devices registered before they come for the first time, over the HTTP API. In a real application its own back end
 * does this with its key; a user's token does for the user's own account.
 */
export async function registerDevices(account: string, userId: string, devices: readonly string[]): Promise<Answer> {
  const response = await fetch("/api/devices", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${await fetchToken(account)}` },
    body: JSON.stringify({ user_id: userId, devices }),
  });
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return { ok: true, message: (answer as { message: string }).message };
  if (response.status === 404) {
    return { ok: false, field: "user_id", message: "You may register devices for your own account only." };
  }
  const error = (answer as { error?: { message: string; field?: string } } | null)?.error;
  if (error === undefined) throw new Error(`The server answered ${response.status}`);
  return { ok: false, field: error.field ?? null, message: error.message };
}
