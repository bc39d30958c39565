// The demo as its tests use it: as a person would.
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ROOT } from "./stage.mjs";

/** For a server that serves the demo. */
export const SITE = { www: join(ROOT, "www/dist") };

const SCREENSHOTS = join(resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target"), "e2e");

export async function signIn(page, account, device) {
  await page.getByTestId("sign-in-account").fill(account);
  await page.getByTestId("sign-in-device").fill(device);
  await page.getByTestId("sign-in-submit").click();
  return page;
}

export async function openConversation(page, name) {
  await page.getByTestId("new-conversation").fill(name);
  await page.getByTestId("new-conversation-open").click();
}

/** Each of these pages, once it is online, opens a conversation: pairs of a page and a name. */
export async function openConversations(pairs) {
  for (const [page, name] of pairs) {
    await shows(page, "status-connection", "online");
    await openConversation(page, name);
  }
}

export async function write(page, text) {
  await page.getByTestId("composer").fill(text);
  await page.getByTestId("send").click();
}

export function message(page, text) {
  return page.getByTestId("message").filter({ hasText: text });
}

export async function shows(page, id, value) {
  await page.locator(`[data-testid="${id}"][data-value="${value}"]`).waitFor();
}

/** What it looks like, for people to judge. */
export async function screenshots(page, name) {
  await mkdir(SCREENSHOTS, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}.png`) });
  }
}
