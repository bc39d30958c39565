// The demo as a person meets it.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SITE, message, openConversation, openConversations, screenshots, shows, signIn, write } from "./support/demo.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

test("two people chat in the demo, in two browsers", async () => {
  const server = await stage.server(SITE);
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

test("a panel shows what goes on inside", async () => {
  const server = await stage.server(SITE);
  const [profile] = await stage.profiles(server, 1);
  const ann = await signIn(await profile.tab(), "ann", "Laptop");
  await shows(ann, "status-connection", "online");
  await ann.getByTestId("inside-switch").click();
  await ann.getByTestId("inside-role").filter({ hasText: "leader, epoch 1" }).waitFor();

  await ann.getByTestId("offline-switch").click();
  await shows(ann, "status-connection", "offline");
  await openConversation(ann, "bob");
  await write(ann, "Look");
  await ann.getByTestId("inside-outbox").filter({ hasText: "send direct:bob" }).waitFor();
  const moments = ann.getByTestId("inside-moments");
  for (const [kind, name] of [["input", "Send"], ["effect", "Persist"], ["input", "Persisted"]]) {
    await moments.locator(`[data-kind="${kind}"]`, { has: ann.getByText(name, { exact: true }) }).first().waitFor();
  }
  await screenshots(ann, "inside");

  await ann.getByTestId("offline-switch").click();
  await ann.getByTestId("inside-outbox").filter({ hasText: "The outbox is empty" }).waitFor();
  await ann.getByTestId("inside-cursor").filter({ hasText: "1" }).waitFor();
  assert.deepEqual(profile.pageErrors, []);
});

test("a browser without a place for its connection says who has them, and takes one", async () => {
  const server = await stage.server(SITE);
  await server.call("PUT", "/api/settings", { limits: { web: 1 } });
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await signIn(await first.tab(), "ann", "Laptop");
  await shows(laptop, "status-connection", "online");
  const phone = await signIn(await second.tab(), "ann", "Phone");
  await shows(phone, "status-connection", "polling");
  const limit = phone.getByTestId("connection-limit");
  await limit.locator("summary").click();
  await limit.getByText("Laptop").waitFor();
  await screenshots(phone, "connection-limit");
  await limit.getByRole("button").click();
  await shows(phone, "status-connection", "online");
  await limit.waitFor({ state: "detached" });
  await shows(laptop, "status-connection", "polling");
  await laptop.getByTestId("connection-limit").waitFor();
});

test("a message is edited, recalled, and read, for all to see", async () => {
  const server = await stage.server(SITE);
  const [first, second, third] = await stage.profiles(server, 3);
  const laptop = await signIn(await first.tab(), "ann", "Laptop");
  const phone = await signIn(await second.tab(), "ann", "Phone");
  const bob = await signIn(await third.tab(), "bob", "Tablet");
  await openConversations([
    [laptop, "bob"],
    [phone, "bob"],
    [bob, "ann"],
  ]);
  await write(laptop, "At eigth, then?");
  await write(laptop, "Bring the wrong scores");
  await message(bob, "Bring the wrong scores").waitFor();
  await message(laptop, "Bring the wrong scores").getByTestId("read-by").waitFor();

  await choose(phone, "At eigth, then?", "edit");
  await phone.getByTestId("editor").fill("At eight, then?");
  await screenshots(phone, "editing");
  await phone.getByTestId("save-edit").click();
  for (const page of [laptop, phone, bob]) await message(page, "At eight, then?").getByTestId("edited").waitFor();
  // Escape leaves it as it is.
  await choose(laptop, "At eight, then?", "edit");
  await laptop.getByTestId("editor").fill("At nine");
  await laptop.getByTestId("editor").press("Escape");
  await message(laptop, "At eight, then?").waitFor();

  await choose(laptop, "Bring the wrong scores", "recall");
  for (const page of [laptop, phone, bob]) {
    await page.locator('[data-testid="message"][data-state="recalled"]').getByText("Message recalled").waitFor();
    // Nor in the list of conversations, nor in what is read out.
    await page.getByText("Bring the wrong scores").first().waitFor({ state: "detached" });
  }
  await screenshots(bob, "recalled");
  for (const { pageErrors } of [first, second, third]) assert.deepEqual(pageErrors, []);
});

test("a message that failed is tried again, and another one given up", async () => {
  const server = await stage.server(SITE);
  const profile = await stage.profile(server);
  const ann = await signIn(await profile.tab(), "ann", "Laptop");
  await shows(ann, "status-connection", "online");
  await openConversation(ann, "group:choir");
  await write(ann, "Let me in");
  await write(ann, "Or not");
  const failed = ann.locator('[data-testid="message"][data-state="failed"]');
  await failed.nth(1).waitFor();
  await screenshots(ann, "failed");
  await failed.filter({ hasText: "Or not" }).getByTestId("discard").click();
  await message(ann, "Or not").waitFor({ state: "detached" });
  await server.call("PUT", "/api/groups/choir", { members: ["ann", "bob"] });
  await failed.filter({ hasText: "Let me in" }).getByTestId("retry").click();
  await ann.locator('[data-testid="message"][data-state="sent"]').filter({ hasText: "Let me in" }).waitFor();
  assert.deepEqual(profile.pageErrors, []);
});

test("drafts, pins and muting are the same on all devices", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await signIn(await first.tab(), "ann", "Laptop");
  const phone = await signIn(await second.tab(), "ann", "Phone");
  for (const page of [laptop, phone]) await shows(page, "status-connection", "online");
  for (const name of ["cid", "bob"]) {
    await openConversation(laptop, name);
    await write(laptop, `Hello ${name}`);
  }
  await listed(phone, ["direct:bob", "direct:cid"]);
  await openConversation(phone, "cid");
  await phone.getByTestId("pin").click();
  await phone.getByTestId("mute").click();
  for (const page of [laptop, phone]) await listed(page, ["direct:cid", "direct:bob"]);
  await openConversation(laptop, "cid");
  await laptop.locator('[data-testid="mute"][aria-pressed="true"]').waitFor();

  // Typed here, it is there: in the list, and where it can be gone on with.
  await laptop.getByTestId("composer").fill("About the organ");
  await composed(phone, "About the organ");
  await openConversation(phone, "bob");
  await phone.getByTestId("draft").filter({ hasText: "About the organ" }).waitFor();
  await laptop.getByTestId("composer").press("End");
  await laptop.getByTestId("composer").pressSequentially(" in the north aisle");
  await openConversation(phone, "cid");
  await composed(phone, "About the organ in the north aisle");
  await screenshots(phone, "draft");
  await phone.getByTestId("send").click();
  await composed(laptop, "");
  for (const page of [laptop, phone]) await message(page, "About the organ in the north aisle").waitFor();
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("what is read on one device goes on where it was on the next, and both turn the page together", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await signIn(await first.tab(), "ann", "Laptop");
  await shows(laptop, "status-connection", "online");
  await laptop.getByTestId("shelf-article").click();
  await scrollTo(laptop, "railway-time");
  await laptop.getByTestId("shelf-article").filter({ hasText: "%" }).waitFor();

  const phone = await signIn(await second.tab(), "ann", "Phone");
  await phone.setViewportSize({ width: 390, height: 780 });
  await phone.getByTestId("shelf-article").filter({ hasText: "on Laptop" }).click();
  await atTop(phone, "railway-time");
  await phone.getByTestId("article-note").filter({ hasText: "Laptop" }).waitFor();
  // Not at the end, where a large window shows more than one place at its top.
  await scrollTo(phone, "lamport");
  await atTop(laptop, "lamport");
  await laptop.getByTestId("article-note").filter({ hasText: "In step with Phone" }).waitFor();
  await screenshots(laptop, "article");

  // What was read without a network is there once there is one.
  await phone.getByTestId("offline-switch").click();
  await shows(phone, "status-connection", "offline");
  await scrollTo(phone, "counting");
  await phone.getByTestId("offline-switch").click();
  await atTop(laptop, "counting");
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("music that plays on one device is seen, steered and taken over on another", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const [laptop, phone] = [
    await signIn(await first.tab(), "ann", "Laptop"),
    await signIn(await second.tab(), "ann", "Phone"),
  ];
  for (const page of [laptop, phone]) {
    await shows(page, "status-connection", "online");
    await page.getByTestId("shelf-player").click();
  }
  await laptop.getByTestId("player-next").click();
  await shows(phone, "player-track", "prelude");
  await laptop.getByTestId("player-shuffle").click();
  await phone.locator('[data-testid="player-shuffle"][aria-pressed="true"]').waitFor();
  await phone.getByTestId("player-volume").fill("30");
  await ranges(laptop, "player-volume", (volume) => volume === 30);
  await laptop.getByTestId("player-position").fill("20");
  await ranges(phone, "player-position", (position) => position === 20);

  await laptop.getByTestId("player-play").click();
  await phone.getByTestId("player-where").filter({ hasText: "Playing on Laptop" }).waitFor();
  await ranges(phone, "player-position", (position) => position > 20);
  await screenshots(phone, "player");
  await phone.getByTestId("player-here").click();
  await phone.locator('[data-testid="player-where"][data-here="true"]').waitFor();
  await laptop.getByTestId("player-where").filter({ hasText: "Playing on Phone" }).waitFor();
  await ranges(phone, "player-position", (position) => position > 20);
  await laptop.getByTestId("player-play").click(); // a pause, from afar
  for (const page of [laptop, phone]) await page.locator('[data-testid="player-play"][data-playing="false"]').waitFor();

  // A device that comes later has all of it.
  const tab = await signIn(await second.tab(), "ann", "Phone");
  await tab.getByTestId("shelf-player").click();
  await shows(tab, "player-track", "prelude");
  await ranges(tab, "player-position", (position) => position > 20);
  await ranges(tab, "player-volume", (volume) => volume === 30);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("a conversation opens on another device at the message where it was left", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  for (let number = 1; number <= 200; number += 1) {
    await server.message("bob", "direct:ann", `message number ${number}, ${"la ".repeat(number % 40)}`);
  }
  const laptop = await signIn(await first.tab(), "ann", "Laptop");
  await shows(laptop, "status-connection", "online");
  await openConversation(laptop, "bob");
  await message(laptop, "message number 200,").waitFor();
  // Up by hand, page by page.
  await laptop.mouse.move(700, 300);
  await until("it is far up", async () => {
    await laptop.mouse.wheel(0, -600);
    return Number(/number (\d+),/.exec(await topMessage(laptop))?.[1] ?? 200) < 90;
  });

  const phone = await signIn(await second.tab(), "ann", "Phone");
  await phone.setViewportSize({ width: 390, height: 780 });
  await until("the phone has it, too", async () => {
    await phone.evaluate(() => (location.hash = ""));
    await phone.getByTestId("conversation").first().waitFor();
    await openConversation(phone, "bob");
    await phone.getByTestId("message").first().waitFor();
    // Where it came to rest: the wheel turns on for a while. Of the topmost there may be less than a pixel.
    const here = await topMessage(phone);
    return here === (await topMessage(laptop, 0)) || here === (await topMessage(laptop, 1));
  });
  // At the end there is nothing to keep: the next device opens at the end.
  await phone.getByTestId("show-latest").click();
  await message(phone, "message number 200,").waitFor();
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

async function choose(page, text, what) {
  const chosen = message(page, text);
  await chosen.hover();
  await chosen.getByTestId("message-menu").click();
  await chosen.getByTestId(what).click();
}

/** The conversations stand in this order. */
async function listed(page, ids) {
  await until(`the list is ${ids}`, async () => {
    const rows = await page.getByTestId("conversation").evaluateAll((rows) => rows.map((row) => row.dataset.conversation));
    return rows.join() === ids.join();
  });
}

async function composed(page, text) {
  await until(`the draft is "${text}"`, async () => (await page.getByTestId("composer").inputValue()) === text);
}

async function ranges(page, id, holds) {
  await until(`${id} is where it should be`, async () => holds(Number(await page.getByTestId(id).inputValue())));
}

/** Scrolls by hand until a paragraph is the topmost, or the text is at its end. */
async function scrollTo(page, paragraph) {
  const { x, y, width, height } = await page.getByTestId("article").boundingBox();
  await page.mouse.move(x + width / 2, y + height / 2);
  await until(`${paragraph} is at the top`, async () => {
    if ((await topmost(page)) === paragraph) return true;
    await page.mouse.wheel(0, 80);
    return page.getByTestId("article").evaluate((it) => it.scrollTop + it.clientHeight >= it.scrollHeight - 1);
  });
}

async function atTop(page, paragraph) {
  await until(`${paragraph} is at the top`, async () => (await topmost(page)) === paragraph);
}

/** The paragraph that is the first in view. */
function topmost(page) {
  return page.getByTestId("article").evaluate((scroller) => {
    const edge = scroller.getBoundingClientRect().top;
    const paragraphs = [...scroller.querySelectorAll("[data-paragraph]")];
    return paragraphs.find((it) => it.getBoundingClientRect().bottom > edge + 1)?.dataset.paragraph;
  });
}

/** The text of the first message of which more than so many pixels are in view. */
function topMessage(page, pixels = 0) {
  return page.getByRole("region", { name: "Messages" }).evaluate((scroller, pixels) => {
    const edge = scroller.getBoundingClientRect().top + pixels;
    const messages = [...scroller.querySelectorAll("[data-message-id]")];
    return messages.find((it) => it.getBoundingClientRect().bottom > edge)?.textContent ?? "";
  }, pixels);
}
