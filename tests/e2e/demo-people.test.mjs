// Who is there, who types and who waves, as a person sees it in the demo.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SITE, message, openConversation, openConversations, screenshots, signIn, write } from "./support/demo.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

test("who types is seen in the conversation and in the list, in every tab, until the message is there", async () => {
  const { profiles, ann, tab, bob } = await scene();
  await bob.getByTestId("composer").pressSequentially("On my w");
  await goesOn(ann, "bob is typing");
  await ann.locator('[data-conversation="direct:bob"]').getByTestId("row-typing").waitFor();
  await goesOn(tab, "bob is typing");
  await screenshots(ann, "typing");
  assert.equal(await bob.getByTestId("activity").textContent(), "", "nobody is told of oneself");
  await bob.getByTestId("composer").pressSequentially("ay");
  await bob.getByTestId("composer").press("Enter");
  for (const page of [ann, tab]) {
    await message(page, "On my way").waitFor();
    await goesOn(page, "");
  }

  // What is taken back ends it, too; and in a group it says who.
  await ann.getByTestId("composer").pressSequentially("Well");
  await goesOn(bob, "ann is typing");
  await ann.getByTestId("composer").fill("");
  await goesOn(bob, "");
  for (const page of [ann, bob]) await openConversation(page, "group:choir");
  await bob.getByTestId("composer").pressSequentially("La");
  await goesOn(ann, "bob is typing");
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});

test("a wave reaches those who are there, and passes", async () => {
  const { profiles, ann, tab, bob } = await scene();
  await bob.getByTestId("wave").click();
  for (const page of [ann, tab]) await goesOn(page, "bob waves");
  await screenshots(ann, "wave");
  for (const page of [ann, tab]) await goesOn(page, "");
  assert.equal(await bob.getByTestId("activity").textContent(), "");
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});

test("who is there, and with what, is seen in words and as a dot, as far as they wish", async () => {
  const { profiles, ann, bob } = await scene();
  const dot = (page, name) => page.locator(`[data-conversation="direct:${name}"]`).getByTestId("presence");
  const seen = async (value, words) => {
    await until(`ann sees bob ${value}`, async () => (await dot(ann, "bob").getAttribute("data-value")) === value);
    assert.match(await dot(ann, "bob").getAttribute("aria-label"), words);
    await until("the head says so", async () => words.test(await ann.getByTestId("presence-in-words").textContent()));
  };
  await seen("online", /^online on web/);
  await bob.getByTestId("own-presence").selectOption("Busy");
  await seen("busy", /^busy on web/);
  await screenshots(ann, "presence");

  // On all devices the same; whoever is invisible is not there for others.
  const phone = await signIn(await profiles[2].tab(), "bob", "Phone");
  await chosen(phone, "busy");
  await phone.getByTestId("own-presence").selectOption("Invisible");
  await seen("offline", /^offline/);
  await chosen(bob, "invisible");
  await screenshots(bob, "invisible");
  await bob.getByTestId("own-presence").selectOption("Online");
  await seen("online", /^online on web/);

  // Without a connection nothing is known, and with the next one it is asked for.
  await ann.getByTestId("offline-switch").click();
  await dot(ann, "bob").waitFor({ state: "detached" });
  await ann.getByTestId("presence-in-words").waitFor({ state: "detached" });
  await ann.getByTestId("offline-switch").click();
  await seen("online", /^online on web/);
  await profiles[1].close();
  await profiles[2].close();
  await seen("offline", /^offline, last seen \S/);
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});

/** Ann with two tabs, and Bob, each in the conversation with the other; Bob has another device. */
async function scene() {
  const server = await stage.server(SITE);
  const profiles = await stage.profiles(server, 3);
  const [first, second] = profiles;
  const ann = await signIn(await first.tab(), "ann", "Laptop");
  const tab = await signIn(await first.tab(), "ann", "Laptop");
  const bob = await signIn(await second.tab(), "bob", "Tablet");
  await server.call("PUT", "/api/groups/choir", { members: ["ann", "bob"] });
  await openConversations([
    [ann, "bob"],
    [tab, "bob"],
    [bob, "ann"],
  ]);
  await write(ann, "Hello there");
  for (const page of [ann, tab, bob]) await message(page, "Hello there").waitFor();
  return { profiles, ann, tab, bob };
}

/** What goes on in the conversation comes to be this alone; nothing, if that is empty. */
async function goesOn(page, what) {
  await until(`"${what}" goes on`, async () => (await page.getByTestId("activity").textContent()) === what);
}

async function chosen(page, availability) {
  await until(`${availability} is chosen`, async () => (await page.getByTestId("own-presence").inputValue()) === availability);
}
