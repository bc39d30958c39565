/** Who is signed in, in this tab. */
export interface SignIn {
  readonly account: string;
  readonly device: string;
}

const SIGNED_IN = "tutti-demo.signed-in";
const LAST_USED = "tutti-demo.last-used";

/** `?account=alice&device=Laptop` signs in directly; otherwise a reload keeps who was signed in. */
export function currentSignIn(): SignIn | null {
  const query = new URLSearchParams(location.search);
  const account = query.get("account");
  if (account) return { account, device: query.get("device") || defaultDevice() };
  return read(sessionStorage, SIGNED_IN);
}

export function keepSignIn(signIn: SignIn): void {
  sessionStorage.setItem(SIGNED_IN, JSON.stringify(signIn));
  localStorage.setItem(LAST_USED, JSON.stringify(signIn));
}

/** Forgets the tab's sign-in and clears the address of it, so that a reload asks again. */
export function forgetSignIn(): void {
  sessionStorage.removeItem(SIGNED_IN);
  history.replaceState(null, "", location.pathname);
}

/** The same, and what the sign-in form would start with. */
export function forgetEverything(): void {
  forgetSignIn();
  localStorage.removeItem(LAST_USED);
}

/** What the sign-in form starts with. */
export function suggestedSignIn(): SignIn {
  return read(localStorage, LAST_USED) ?? { account: "", device: defaultDevice() };
}

/** The address that signs in another tab of this browser as the same account. */
export function addressFor({ account, device }: SignIn): string {
  return `${location.pathname}?${new URLSearchParams({ account, device })}`;
}

function read(storage: Storage, key: string): SignIn | null {
  const stored = storage.getItem(key);
  if (stored === null) return null;
  try {
    const { account, device } = JSON.parse(stored) as Partial<SignIn>;
    return account && device ? { account, device } : null;
  } catch {
    return null;
  }
}

function defaultDevice(): string {
  const { userAgent } = navigator;
  const browser = [
    ["Edg/", "Edge"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
  ].find(([mark]) => userAgent.includes(mark!))?.[1];
  const system = [
    ["Android", "Android"],
    ["iPhone", "iPhone"],
    ["iPad", "iPad"],
    ["Windows", "Windows"],
    ["Mac OS X", "macOS"],
    ["CrOS", "ChromeOS"],
    ["Linux", "Linux"],
  ].find(([mark]) => userAgent.includes(mark!))?.[1];
  return `${browser ?? "Browser"} on ${system ?? "this computer"}`;
}
