// The demo's devices as a person meets them.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SITE, openConversation, screenshots, shows, signIn, write } from "./support/demo.mjs";
import { PushService, subscribeTo } from "./support/push-service.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

test("D2 the demo lists devices, live, and renames and registers them", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await arrive(first, "ann", "Laptop");
  const phone = await arrive(second, "ann", "Phone");
  for (const page of [laptop, phone]) {
    await page.getByTestId("shelf-devices").click();
    await shows(page, "devices-count", "2");
    await device(page, "Laptop").and(page.locator('[data-online="true"]')).waitFor();
  }
  await laptop.locator('[data-testid="device"][data-current="true"]').filter({ hasText: "this device" }).waitFor();

  // By the keyboard alone: into the name, out with Escape, and again, to save with Enter.
  const rename = device(laptop, "Phone").getByTestId("device-rename");
  await rename.focus();
  await laptop.keyboard.press("Enter");
  await laptop.keyboard.type("Not this");
  await laptop.keyboard.press("Escape");
  await device(laptop, "Phone").waitFor();
  await until("the focus is back", () => rename.evaluate((button) => button === document.activeElement));
  await laptop.keyboard.press("Enter");
  await laptop.keyboard.type("Ann’s telephone");
  await screenshots(laptop, "devices-renaming");
  await laptop.keyboard.press("Enter");
  for (const page of [laptop, phone]) await device(page, "Ann’s telephone").waitFor();
  await phone.getByTestId("own-device").filter({ hasText: "Ann’s telephone" }).waitFor();

  // What the server refuses stands at the field that it names.
  const form = laptop.getByTestId("device-form");
  await form.getByTestId("register").click();
  await form.locator('textarea[aria-invalid="true"]').waitFor();
  assert.match(await form.getByTestId("field-error").textContent(), /Expected a list of 1 to 100 device names/);
  assert.ok(await form.getByTestId("register-devices").evaluate((field) => field === document.activeElement));
  assert.equal(
    await form.getByTestId("register-devices").getAttribute("aria-describedby"),
    await form.getByTestId("field-error").getAttribute("id"),
  );
  await form.getByTestId("register-account").fill("");
  await form.getByTestId("register-devices").fill("Rehearsal room\nOrgan loft");
  await form.getByTestId("register").click();
  await form.locator('input[aria-invalid="true"]').waitFor();
  await form.scrollIntoViewIfNeeded();
  await screenshots(laptop, "devices-refused");
  await form.getByTestId("register-account").fill("bob");
  await form.getByTestId("register").click();
  await form.getByTestId("field-error").filter({ hasText: "your own account" }).waitFor();
  await form.getByTestId("register-account").fill("ann");
  await form.getByTestId("register").click();
  await form.getByTestId("registered").filter({ hasText: "Devices registered successfully" }).waitFor();
  for (const page of [laptop, phone]) {
    await shows(page, "devices-count", "4");
    await device(page, "Organ loft").and(page.locator('[data-online="false"]')).waitFor();
  }
  await laptop.getByTestId("device").first().scrollIntoViewIfNeeded();
  await screenshots(laptop, "devices");
  await laptop.setViewportSize({ width: 390, height: 780 });
  await screenshots(laptop, "devices-narrow");
  await laptop.setViewportSize({ width: 1280, height: 720 });

  // Without a connection there is nothing to be done about them, and that is said.
  await laptop.getByTestId("offline-switch").click();
  await laptop.getByTestId("devices-offline").waitFor();
  assert.ok(await device(laptop, "Organ loft").getByTestId("device-remove").isDisabled());
  await laptop.getByTestId("offline-switch").click();
  await laptop.getByTestId("devices-offline").waitFor({ state: "detached" });
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("D3 the demo removes a device after asking, and that device says by which", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await arrive(first, "ann", "Laptop");
  const phone = await arrive(second, "ann", "Phone");
  const tab = await arrive(second, "ann", "Phone");
  await openConversation(phone, "bob");
  await write(phone, "Shall we sing tonight?");
  await phone.locator('[data-testid="message"][data-state="sent"]').waitFor();

  await laptop.getByTestId("shelf-devices").click();
  await device(laptop, "Phone").getByTestId("device-remove").click();
  const dialog = laptop.getByTestId("removal");
  await dialog.getByText("Messages that it has written").waitFor();
  // The safe answer has the focus; Escape is one, too.
  assert.ok(await dialog.getByRole("button", { name: "Keep it" }).evaluate((button) => button === document.activeElement));
  await screenshots(laptop, "devices-removal");
  await laptop.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.ok(await device(laptop, "Phone").getByTestId("device-remove").evaluate((button) => button === document.activeElement));
  await device(laptop, "Phone").getByTestId("device-remove").click();
  await dialog.getByTestId("removal-confirm").click();
  await shows(laptop, "devices-count", "1");
  await dialog.waitFor({ state: "detached" });

  for (const page of [phone, tab]) {
    await page.getByTestId("ended-by").filter({ hasText: "removed from ann’s account by “Laptop”" }).waitFor();
    await page.getByText("Shall we sing tonight?").first().waitFor({ state: "detached" });
  }
  await screenshots(phone, "removed");
  const nothing = await phone.evaluate("indexedDB.databases().then((all) => all.length)");
  assert.equal(nothing, 0);
  // A reload does not bring it back by itself; signing in does, as a new device.
  await tab.reload();
  await tab.getByTestId("sign-in-account").waitFor();
  await phone.getByTestId("sign-in-again").click();
  await signIn(phone, "ann", "Phone");
  await shows(phone, "status-connection", "online");
  await shows(laptop, "devices-count", "2");
  await phone.getByText("Shall we sing tonight?").first().waitFor();

  // Over HTTP it was nobody's device.
  const { devices } = await server.call("GET", "/api/devices?user_id=ann");
  await server.call("DELETE", `/api/devices/${devices.find(({ name }) => name === "Phone").id}?user_id=ann`);
  await phone.getByTestId("ended-by").filter({ hasText: "Whoever runs this chat" }).waitFor();
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("P4 the demo signs out and erases, online and, if one insists, offline", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await arrive(first, "ann", "Laptop");
  const phone = await arrive(second, "ann", "Phone");
  const tab = await arrive(second, "ann", "Phone");
  await laptop.getByTestId("shelf-devices").click();
  await shows(laptop, "devices-count", "2");

  await phone.getByTestId("shelf-devices").click();
  await phone.getByTestId("erase").click();
  await phone.getByTestId("erasure").waitFor();
  await screenshots(phone, "erase");
  await phone.getByTestId("erase-confirm").click();
  await phone.getByTestId("sign-in-account").waitFor();
  assert.equal(await phone.getByTestId("sign-in-account").inputValue(), "", "not even the name is left");
  await tab.getByTestId("ended-by").filter({ hasText: "has signed out of this browser" }).waitFor();
  await screenshots(tab, "erased-elsewhere");
  await shows(laptop, "devices-count", "1");
  const left = await phone.evaluate("indexedDB.databases().then((all) => [all.length, localStorage.length, sessionStorage.length])");
  assert.deepEqual(left, [0, 0, 0]);

  // Offline nothing is erased before one has said that it is to be so all the same.
  await openConversation(laptop, "bob");
  await laptop.getByTestId("offline-switch").click();
  await shows(laptop, "status-connection", "offline");
  await write(laptop, "From the tunnel");
  await shows(laptop, "status-pending", "1");
  await laptop.getByTestId("shelf-devices").click();
  await laptop.getByTestId("erase").click();
  await laptop.getByTestId("erasure").getByText("1 thing that you did here").waitFor();
  await laptop.getByTestId("erase-confirm").click();
  await laptop.getByTestId("erasure-untold").getByText("Nothing has been erased yet").waitFor();
  await screenshots(laptop, "erase-offline");
  assert.equal(await laptop.evaluate("indexedDB.databases().then((all) => all.length)"), 1);
  await laptop.getByTestId("erase-untold").click();
  await laptop.getByTestId("sign-in-account").waitFor();
  assert.equal(await laptop.evaluate("indexedDB.databases().then((all) => all.length)"), 0);
  const { devices } = await server.call("GET", "/api/devices?user_id=ann");
  assert.deepEqual(devices.map(({ name }) => name), ["Laptop"], "the server was not told");
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("N2 the demo says why it cannot tell of news while it is closed, or does so, until that is turned off", async () => {
  const service = await PushService.start();
  after(() => service.end());
  const server = await stage.server({ ...SITE, args: ["--push-service", service.origin] });
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await arrive(first, "ann", "Laptop");
  const phone = await arrive(second, "ann", "Phone");
  for (const page of [laptop, phone]) await page.getByTestId("shelf-devices").click();
  const why = phone.getByTestId("push-why");
  const says = (text) => why.filter({ hasText: text }).waitFor();

  // The user has said no at some time.
  await phone.evaluate(() => Object.defineProperty(Notification, "permission", { get: () => "denied", configurable: true }));
  await look(phone);
  await says("This browser blocks notifications from this page");
  assert.ok(await phone.getByTestId("push").isDisabled());
  await phone.evaluate(() => delete Notification.permission && Object.defineProperty(Notification, "permission", { get: () => "granted" }));
  // A server without a key.
  await phone.route("**/api/push", (route) => route.fulfill({ status: 404 }));
  await look(phone);
  await says("This server does not push");
  assert.ok(await phone.getByTestId("push").isDisabled());
  await phone.unroute("**/api/push");
  await look(phone);
  await says("Have this browser tell you of news");

  await subscribeTo(phone, service.subscribe());
  await phone.getByTestId("push").click();
  await phone.locator('[data-testid="push"][aria-checked="true"]').waitFor();
  for (const page of [laptop, phone]) await device(page, "Phone").getByTestId("device-push").waitFor();
  await screenshots(phone, "devices-push");
  const worker = await phone.evaluate("navigator.serviceWorker.ready.then(({ active, scope }) => [active.scriptURL, scope])");
  assert.deepEqual(worker, [`${server.origin}/service-worker.js`, `${server.origin}/`]);

  await phone.getByTestId("push").click();
  await phone.locator('[data-testid="push"][aria-checked="false"]').waitFor();
  await says("Have this browser tell you of news");
  for (const page of [laptop, phone]) await device(page, "Phone").getByTestId("device-push").waitFor({ state: "detached" });
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

/** Goes somewhere else and comes back. */
async function look(page) {
  await page.getByTestId("shelf-article").click();
  await page.getByTestId("shelf-devices").click();
}

async function arrive(profile, account, name) {
  const page = await signIn(await profile.tab(), account, name);
  await shows(page, "status-connection", "online");
  return page;
}

function device(page, name) {
  return page.getByTestId("device").filter({ hasText: name });
}
