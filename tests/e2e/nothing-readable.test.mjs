// Nothing of a chat can be read from the browser's disk without the key, and the key stays where it is.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { Stage } from "./support/stage.mjs";

const stage = new Stage();
after(() => stage.clear());

test("messages, accounts and conversations cannot be read from IndexedDB or the disk", async (t) => {
  const server = await stage.server({ args: ["--rate-burst", "100000", "--rate-per-second", "100000"] });
  const profile = await stage.profile(server);
  // Every text that must not show, each of them nowhere else in the world.
  const secret = (what) => `${what}-${randomUUID()}`;
  const secrets = {
    account: secret("ann"),
    peer: secret("bob"),
    group: secret("choir"),
    member: secret("cid"),
    device: secret("laptop"),
    type: secret("type"),
    received: secret("received"),
    sent: secret("sent"),
    pending: secret("pending"),
    folded: secret("folded"),
  };
  const { account, peer, group, member } = secrets;
  const conversations = [`direct:${peer}`, `group:${group}`];
  await server.call("PUT", `/api/groups/${group}`, { members: [account, peer, member] });
  const client = await profile.client(account, { device: { name: secrets.device } });
  await client.online();

  // Enough to be folded: it is in blocks, in locators and in heads then.
  const foldedAt = 8_000;
  let told = 0;
  while (told < foldedAt) {
    const texts = Array.from({ length: 100 }, (_, at) => `${secrets.folded} ${told + at} ${randomUUID()}`);
    await Promise.all(texts.map((text) => server.message(peer, `direct:${account}`, text)));
    told += texts.length;
  }
  await client.call("syncNow");
  await client.sendAll(conversations[0], [secrets.sent]);
  await server.message(member, conversations[1], { [secrets.received]: [secrets.received] }, { type: secrets.type });
  await client.untilSent(conversations[1], 1);
  await client.call("markRead", conversations[0]);
  await client.call("syncNow");
  await client.setOffline(true);
  await client.send(conversations[1], secrets.pending, { type: secrets.type });
  assert.equal((await client.status()).pending, 1);

  const planted = secret("planted");
  const forms = await inPage(client.page, (text) => harness.plant(text), planted);
  const needles = [...Object.values(secrets), ...conversations, planted];
  const { found, seen } = await inPage(client.page, (needles) => harness.scan(needles), needles);
  t.diagnostic(`IndexedDB: ${seen.databases} databases, ${seen.records} records, ${seen.bytes} bytes looked through`);
  const plants = found.filter(({ needle }) => needle === planted);
  assert.ok(plants.length >= forms, `${plants.length} of ${forms} texts in the open were found`);
  assert.deepEqual(found.filter(({ needle }) => needle !== planted), []);
  assert.ok(seen.bytes > foldedAt * 50, "the messages are there");

  assert.ok(seen.cryptoKeys.length > 0);
  for (const key of seen.cryptoKeys) {
    assert.deepEqual(key, { algorithm: "AES-GCM", length: 256, extractable: false, exports: 0 });
  }

  await profile.close();
  const disk = await search(profile.directory, needles);
  t.diagnostic(`on the disk: ${disk.files} files, ${disk.bytes} bytes looked through`);
  assert.ok(disk.found.some(({ needle }) => needle === planted), "a text in the open is found");
  assert.deepEqual(disk.found.filter(({ needle }) => needle !== planted), []);
  assert.deepEqual(profile.pageErrors, []);

  // It was all there to be found: with the key, the page reads it.
  await profile.start();
  const reopened = await profile.client(account);
  const last = await reopened.history(conversations[1]);
  assert.deepEqual(last.messages.map(({ content }) => content), [{ [secrets.received]: [secrets.received] }, secrets.pending]);
});

/** Looks for texts in all files of a directory, in the encodings that a browser stores. */
async function search(directory, needles) {
  const patterns = needles.flatMap((needle) => {
    const wide = Buffer.from(needle, "utf16le");
    return [Buffer.from(needle), wide, Buffer.from(wide).swap16()].map((pattern) => ({ needle, pattern }));
  });
  const found = [];
  let files = 0;
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath ?? entry.path, entry.name);
    const content = await readFile(file);
    files += 1;
    bytes += content.length;
    for (const { needle, pattern } of patterns) {
      if (content.includes(pattern)) found.push({ needle, where: relative(directory, file) });
    }
  }
  return { found, files, bytes };
}
