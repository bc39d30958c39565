// The demo as a person meets it.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { ROOT, Stage } from "./support/stage.mjs";

const SCREENSHOTS = join(resolve(ROOT, process.env.CARGO_TARGET_DIR ?? "target"), "e2e");

const stage = new Stage();
after(() => stage.clear());

test("two people chat in the demo, in two browsers", async () => {
  const server = await stage.server({ www: join(ROOT, "www/dist") });
  const [first, second] = await stage.profiles(server, 2);
  const ann = await signIn(await first.tab(), "ann", "Laptop");
  const bob = await signIn(await second.tab(), "bob", "Phone");
  for (const page of [ann, bob]) await shows(page, "status-connection", "online");

  await openConversation(ann, "bob");
  await write(ann, "Shall we sing tonight?");
  await openConversation(bob, "ann");
  await message(bob, "Shall we sing tonight?").waitFor();
  await write(bob, "All together!");
  await message(ann, "All together!").waitFor();
  for (const page of [ann, bob]) {
    await page.locator('[data-testid="message"][data-state="sent"]').nth(1).waitFor();
  }

  // A second tab of Ann's follows.
  const tab = await signIn(await first.tab(), "ann", "Laptop");
  await shows(tab, "status-tabs", "2");
  await shows(tab, "status-role", "follower");
  await openConversation(tab, "bob");
  await message(tab, "All together!").waitFor();

  // Offline, a message waits; online again, it goes.
  await ann.getByTestId("offline-switch").click();
  await shows(tab, "status-connection", "offline");
  await write(tab, "From the tunnel");
  await tab.locator('[data-testid="message"][data-state="pending"]').waitFor();
  await shows(ann, "status-pending", "1");
  await screenshots(ann, "offline");
  await ann.getByTestId("offline-switch").click();
  await message(bob, "From the tunnel").waitFor();
  await shows(ann, "status-pending", "0");

  for (const [page, name] of [
    [ann, "chat"],
    [bob, "chat-other"],
  ])
    await screenshots(page, name);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("a browser without a place for its connection says who has them, and takes one", async () => {
  const server = await stage.server({ www: join(ROOT, "www/dist") });
  await server.call("PUT", "/api/settings", { limits: { web: 1 } });
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await signIn(await first.tab(), "ann", "Laptop");
  await shows(laptop, "status-connection", "online");
  const phone = await signIn(await second.tab(), "ann", "Phone");
  await shows(phone, "status-connection", "polling");
  const limit = phone.getByTestId("connection-limit");
  await limit.locator("summary").click();
  await limit.getByText("Laptop").waitFor();
  await mkdir(SCREENSHOTS, { recursive: true });
  await phone.screenshot({ path: join(SCREENSHOTS, "connection-limit.png") });
  await limit.getByRole("button").click();
  await shows(phone, "status-connection", "online");
  await limit.waitFor({ state: "detached" });
  await shows(laptop, "status-connection", "polling");
  await laptop.getByTestId("connection-limit").waitFor();
});

async function signIn(page, account, device) {
  await page.getByTestId("sign-in-account").fill(account);
  await page.getByTestId("sign-in-device").fill(device);
  await page.getByTestId("sign-in-submit").click();
  return page;
}

async function openConversation(page, name) {
  await page.getByTestId("new-conversation").fill(name);
  await page.getByTestId("new-conversation-open").click();
}

async function write(page, text) {
  await page.getByTestId("composer").fill(text);
  await page.getByTestId("send").click();
}

function message(page, text) {
  return page.getByTestId("message").filter({ hasText: text });
}

async function shows(page, id, value) {
  await page.locator(`[data-testid="${id}"][data-value="${value}"]`).waitFor();
}

/** What it looks like, for people to judge. */
async function screenshots(page, name) {
  await mkdir(SCREENSHOTS, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}.png`) });
  }
}
