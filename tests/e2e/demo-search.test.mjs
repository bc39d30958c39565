// Finding messages, as a person does it in the demo.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SITE, message, openConversations, screenshots, shows, signIn, write } from "./support/demo.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

/** More than are on screen or read at once. */
const MANY = 250;

test("what was written is found without a network, by keys alone, and shown where it stands", async () => {
  const server = await stage.server(SITE);
  const profile = await stage.profile(server);
  for (let number = 1; number <= MANY; number += 1) {
    const text = number % 140 === 20 ? `Tonight a blue HERON stood there, number ${number}` : `message number ${number}`;
    await server.message("bob", "direct:ann", text);
  }
  await server.message("cid", "direct:ann", `A letter ${"of many words ".repeat(20)}about the heron, to be cut short`);
  const ann = await signIn(await profile.tab(), "ann", "Laptop");
  await shows(ann, "status-connection", "online");
  await ann.locator('[data-conversation="direct:cid"]').waitFor();
  await ann.getByTestId("offline-switch").click();
  await shows(ann, "status-connection", "offline");

  const field = ann.getByTestId("search");
  await field.pressSequentially("heron");
  await finds(ann, [
    /cid.*…many words about the heron, to be cut short$/,
    /HERON stood there, number 160$/,
    /HERON stood there, number 20$/,
  ]);
  assert.equal(await ann.getByTestId("search-count").textContent(), "3 messages found");
  assert.deepEqual(await ann.getByTestId("found").locator("mark").allTextContents(), ["heron", "HERON", "HERON"]);

  // Down to the third, far up in a conversation that is not on screen.
  for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "Enter"]) await ann.keyboard.press(key);
  await isShown(ann, "number 20");
  await screenshots(ann, "search");
  // Then another in the same conversation, again the first one, and the one elsewhere by Enter in the field.
  await ann.getByTestId("found").nth(1).click();
  await isShown(ann, "number 160");
  await ann.getByTestId("found").nth(2).click();
  await isShown(ann, "number 20");
  await field.press("Enter");
  await isShown(ann, "to be cut short");

  await field.fill("heron blue");
  await finds(ann, [/number 160$/, /number 20$/]);
  await field.fill("heron green");
  await finds(ann, []);
  await ann.getByTestId("search-count").getByText("Nothing found").waitFor();
  await field.fill("(heron.*");
  await finds(ann, []);
  await field.press("Escape");
  await ann.getByTestId("conversation").first().waitFor();
  assert.equal(await field.inputValue(), "");
  assert.equal(await ann.locator("mark").count(), 0, "nothing stands out any more");
  assert.deepEqual(profile.pageErrors, []);
});

test("what is found stays in step: with what comes, and with what is taken back", async () => {
  const server = await stage.server(SITE);
  const [first, second] = await stage.profiles(server, 2);
  const ann = await signIn(await first.tab(), "ann", "Laptop");
  const bob = await signIn(await second.tab(), "bob", "Phone");
  await openConversations([
    [ann, "bob"],
    [bob, "ann"],
  ]);
  await ann.getByTestId("search").fill("heron");
  await ann.getByTestId("search-count").getByText("Nothing found").waitFor();
  await write(bob, "There is a heron");
  await write(bob, "A heron, really");
  await finds(ann, [/A heron, really$/, /There is a heron$/]);
  const taken = message(bob, "A heron, really");
  await taken.hover();
  await taken.getByTestId("message-menu").click();
  await taken.getByTestId("recall").click();
  await finds(ann, [/There is a heron$/]);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

/** The messages found read like this, in this order. */
async function finds(page, patterns) {
  let texts = [];
  const check = async () => {
    texts = await page.getByTestId("found").allTextContents();
    return texts.length === patterns.length && patterns.every((pattern, at) => pattern.test(texts[at]));
  };
  await until(`${patterns.join(" and ")} are found`, check).catch((error) => {
    throw new Error(`${error.message}; found are ${JSON.stringify(texts)}`);
  });
}

/** The message with this text is in view, has the focus, and in it stands out what was searched for. */
async function isShown(page, text) {
  const found = message(page, text).and(page.locator(":focus"));
  await found.waitFor();
  assert.equal((await found.locator("mark").textContent()).toLowerCase(), "heron");
  await until("it is in view", () =>
    found.evaluate((element) => {
      const view = element.closest('[role="region"]').getBoundingClientRect();
      const { top, bottom } = element.getBoundingClientRect();
      return top >= view.top && bottom <= view.bottom;
    }),
  );
}
