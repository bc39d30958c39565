/** In a real application its own back end does this, once it knows who is asking. */
export async function fetchToken(account: string): Promise<string> {
  const response = await fetch("/api/tokens", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ account }),
  });
  if (!response.ok) throw new Error(`The server gave no token (${response.status})`);
  const { token } = (await response.json()) as { token: string };
  return token;
}
