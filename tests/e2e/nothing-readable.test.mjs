// Nothing of a chat can be read from the browser's disk without the key, and the key stays where it is.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

test("messages, accounts and conversations cannot be read from IndexedDB or the disk", async (t) => {
  const server = await stage.server({ args: ["--rate-burst", "1000000", "--rate-per-second", "1000000"] });
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
    draft: secret("draft"),
    session: secret("session"),
    field: secret("field"),
    value: secret("value"),
    edited: secret("edited"),
    title: secret("title"),
    body: secret("body"),
  };
  const { account, peer, group, member } = secrets;
  const conversations = [`direct:${peer}`, `group:${group}`];
  await server.call("PUT", `/api/groups/${group}`, { members: [account, peer, member] });
  const client = await profile.client(account, { device: { name: secrets.device } });
  await client.online();

  // So many are folded into blocks when nothing else happens.
  const texts = Array.from({ length: 2_100 }, (_, at) => `${secrets.folded} ${at} ${randomUUID()}`);
  for (let at = 0; at < texts.length; at += 100) {
    const batch = texts.slice(at, at + 100);
    await Promise.all(batch.map((text) => server.message(peer, `direct:${account}`, text)));
  }
  await client.call("syncNow");
  const stored = async () => (await inPage(client.page, () => harness.scan([]))).seen.records;
  await until("messages are folded into blocks", async () => (await stored()).blocks > 0, { every: 200 });
  const [sent] = await client.sendAll(conversations[0], [secrets.sent]);
  await client.call("setConversation", conversations[0], { draft: secrets.draft });
  await client.call("setSession", secrets.session, { [secrets.field]: secrets.value });
  await server.message(member, conversations[1], { [secrets.received]: [secrets.received] }, { type: secrets.type });
  await client.untilSent(conversations[1], 1);
  const { title, body } = secrets;
  await server.call("POST", "/api/notifications", { accounts: [account], title, body, data: secrets.value });
  await until("it is told", async () => (await client.call("notifications")).length === 1);
  await client.call("markRead", conversations[0]);
  await client.call("syncNow");
  await client.setOffline(true);
  await client.send(conversations[1], secrets.pending, { type: secrets.type });
  await client.call("edit", sent.id, secrets.edited);
  assert.equal((await client.status()).pending, 2);

  const planted = await inPage(client.page, (text) => harness.plant(text), secret("planted"));
  const hidden = [...Object.values(secrets), ...conversations];
  const needles = [...hidden, ...planted];
  const { found, seen } = await inPage(client.page, (needles) => harness.scan(needles), needles);
  const tally = Object.entries(seen.records)
    .map(([store, count]) => `${count} ${store}`)
    .join(", ");
  t.diagnostic(`IndexedDB: ${tally}; ${seen.bytes} bytes in all`);
  for (const store of ["journal", "blocks", "heads", "locators", "outbox"]) {
    assert.ok(seen.records[store] > 0, `${store} has something to hide`);
  }
  assert.deepEqual(onlyIn(found, planted), new Set(planted), "texts in the open are found, in whatever form");
  assert.deepEqual(
    found.filter(({ needle }) => hidden.includes(needle)),
    [],
  );

  assert.ok(seen.cryptoKeys.length > 0);
  for (const key of seen.cryptoKeys) {
    assert.deepEqual(key, { algorithm: "AES-GCM", length: 256, extractable: false, exports: 0 });
  }

  await profile.close();
  const disk = await search(profile.directory, needles);
  t.diagnostic(`on the disk: ${disk.files} files, ${disk.bytes} bytes looked through`);
  assert.deepEqual(onlyIn(disk.found, planted), new Set(planted), "texts in the open are found");
  assert.deepEqual(
    disk.found.filter(({ needle }) => hidden.includes(needle)),
    [],
  );
  assert.deepEqual(profile.pageErrors, []);

  // It was all there to be found: with the key, the page reads it.
  await profile.start();
  const reopened = await profile.client(account);
  const last = await reopened.history(conversations[1]);
  assert.deepEqual(
    last.messages.map(({ content }) => content),
    [{ [secrets.received]: [secrets.received] }, secrets.pending],
  );
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
    const forms = file.endsWith(".log") ? [content, whole(content)] : [content];
    for (const { needle, pattern } of patterns) {
      if (forms.some((form) => form.includes(pattern))) found.push({ needle, where: relative(directory, file) });
    }
  }
  return { found, files, bytes };
}

/**
 * What a LevelDB log holds. Its file is cut into blocks of 32 KiB, so that any text may have the header of a
 * fragment in its middle: https://github.com/google/leveldb/blob/main/doc/log_format.md
 */
function whole(log) {
  const [blockSize, headerSize] = [32_768, 7];
  const fragments = [];
  for (let block = 0; block < log.length; block += blockSize) {
    const end = Math.min(block + blockSize, log.length);
    for (let at = block; at + headerSize <= end; ) {
      const data = at + headerSize;
      at = data + log.readUInt16LE(at + 4);
      fragments.push(log.subarray(data, Math.min(at, end)));
    }
  }
  return Buffer.concat(fragments);
}

function onlyIn(found, needles) {
  return new Set(found.map(({ needle }) => needle).filter((needle) => needles.includes(needle)));
}
