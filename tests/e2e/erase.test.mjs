// P4: erase leaves nothing of an account in a browser, in any of its tabs, and nothing comes back.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { away, back, leave } from "./support/cast.mjs";
import { inPage } from "./support/client.mjs";
import { contents, numbered } from "./support/messages.mjs";
import { Eavesdropper, nameOf, remains, untilNothingRemains } from "./support/remains.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, bobs, phones;

before(async () => {
  server = await stage.server();
  [bobs, phones] = await stage.profiles(server, 2);
});
after(() => {
  for (const { pageErrors } of [bobs, phones]) assert.deepEqual(pageErrors, []);
});

for (const engine of ["chromium", "firefox", "webkit"]) {
  for (const role of ["leader", "follower"]) {
    test(`P4 ${engine}: a ${role} erases the copy, and nothing is left in any tab`, async (t) => {
      const scene = await cast(`${engine}, ${role}`, { engine });
      const { laptops, tabs, ann, toBob } = scene;
      const stranger = await laptops.tab("/odd.html");
      const pages = tabs.map(({ page }) => page);
      const eavesdropper = await Eavesdropper.among(ann, pages, tabs[0].page, stranger);
      assert.deepEqual(await remains(stranger, ann), { databases: 1, locks: 3 });
      const eraser = await withRole(tabs, role);
      const { deviceId } = eraser;

      const took = await eraser.run(async ({ client }) => {
        const begun = performance.now();
        await client.erase();
        return Math.round(performance.now() - begun);
      });
      t.diagnostic(`it took ${took} ms`);
      // The database is gone by then, not some time.
      assert.equal((await remains(stranger, ann)).databases, 0);
      await untilNothingRemains(stranger, ann);
      await until("nobody is connected", async () => (await connected(ann)).length === 0);
      await eavesdropper.isAlone();
      for (const tab of tabs) {
        await tab.untilStatus("closed", ({ connection, reason }) => connection === "closed" && reason === "closed");
        await isClosed(tab, toBob);
        assert.deepEqual(await tab.log("removed"), [], "its user wanted that: it was not removed");
        assert.deepEqual(await tab.log("error"), []);
      }
      await untilNothingRemains(stranger, ann);
      // The server still lists it: it was not to be told.
      assert.ok((await registered(ann)).includes(deviceId));

      // It begins anew, as a new device, and gets what the account has.
      const again = await laptops.client(ann);
      assert.notEqual(again.deviceId, deviceId);
      await again.online();
      assert.deepEqual(contents(await again.untilSent(toBob, scene.said.length)), scene.said);
      await end(scene, [again]);
    });
  }
}

for (const role of ["leader", "follower"]) {
  test(`P4 a ${role} erases with revoke: the device is no more on the server either`, async () => {
    const scene = await cast(`revoke by a ${role}`);
    const { laptops, tabs, ann, toBob } = scene;
    const phone = await phones.client(ann);
    await phone.online();
    const eraser = await withRole(tabs, role);
    const { deviceId } = eraser;
    await eraser.call("erase", { revoke: true });
    assert.equal((await remains(eraser.page, ann)).databases, 0);
    assert.deepEqual(await registered(ann), [phone.deviceId]);
    await until("it is cut off", async () => (await connected(ann)).join() === phone.deviceId);
    for (const tab of tabs) {
      await tab.untilStatus("closed", ({ connection }) => connection === "closed");
      const [{ event }] = await until("it is told", async () => {
        const told = await tab.log("removed");
        return told.length > 0 && told;
      });
      assert.equal(event.by, deviceId, "by itself");
    }
    await untilNothingRemains(tabs[0].page, ann);
    const again = await laptops.client(ann);
    await again.online();
    assert.notEqual(again.deviceId, deviceId);
    assert.deepEqual(contents(await again.untilSent(toBob, scene.said.length)), scene.said);
    await end(scene, [again, phone]);
  });

  test(`P4 without a connection a ${role} cannot erase with revoke: it is told, and nothing is erased`, async () => {
    const scene = await cast(`offline, ${role}`);
    const { tabs, bob, ann, toBob, toAnn } = scene;
    const eraser = await withRole(tabs, role);
    await away(eraser);
    for (const tab of tabs) await tab.untilStatus("offline", ({ connection }) => connection === "offline");
    await eraser.send(toBob, "on its way");
    await assert.rejects(eraser.call("erase", { revoke: true }), { code: "offline", isSyncError: true, retryable: true });
    assert.deepEqual(await remains(eraser.page, ann), { databases: 1, locks: 3 });
    for (const tab of tabs) {
      assert.equal((await tab.messages(toBob)).length, scene.said.length + 1);
      assert.deepEqual(await tab.log("removed"), []);
    }
    await back(eraser);
    for (const tab of tabs) await tab.online();
    assert.deepEqual(contents(await bob.untilSent(toAnn, scene.said.length + 1)), [...scene.said, "on its way"]);

    // Without revoke it can be erased there all the same, and what was not sent is lost.
    await away(eraser);
    await eraser.send(toBob, "lost");
    await eraser.call("erase");
    await untilNothingRemains(eraser.page, ann);
    const again = await scene.laptops.client(ann);
    await again.online();
    await again.send(toBob, "the end");
    const said = [...scene.said, "on its way", "the end"];
    assert.deepEqual(contents(await bob.untilSent(toAnn, said.length)), said);
    assert.deepEqual(contents(await again.untilSent(toBob, said.length)), said);
    await end(scene, [again]);
  });
}

for (const frozenRole of ["leader", "follower"]) {
  test(`P4 a ${frozenRole} that is frozen while another tab erases has nothing to go on with, and brings nothing back`, async (t) => {
    const scene = await cast(`a frozen ${frozenRole}`);
    const { laptops, tabs, bob, ann, toBob, toAnn } = scene;
    const frozen = await withRole(tabs, frozenRole);
    const [eraser, other] = tabs.filter((tab) => tab !== frozen);
    const thaw = await freeze(frozen);

    const took = await eraser.run(async ({ client }) => {
      const begun = performance.now();
      await client.erase();
      return Math.round(performance.now() - begun);
    });
    t.diagnostic(`with a frozen ${frozenRole} it took ${took} ms`);
    const stranger = await laptops.tab();
    for (const tab of [eraser, other]) await tab.untilStatus("closed", ({ connection }) => connection === "closed");

    await thaw();
    await frozen.untilStatus("closed", ({ connection }) => connection === "closed");
    await isClosed(frozen, toBob);
    await untilNothingRemains(stranger, ann);
    await until("nobody is connected", async () => (await connected(ann)).length === 0);

    const again = await laptops.client(ann);
    await again.online();
    await again.send(toBob, "the end");
    const said = [...scene.said, "the end"];
    assert.deepEqual(contents(await again.untilSent(toBob, said.length)), said);
    assert.deepEqual(contents(await bob.untilSent(toAnn, said.length)), said);
    assert.deepEqual(contents(await again.untilSent(toBob, said.length)), said);
    await end(scene, [again]);
  });
}

test("P4 whoever keeps the database open finds it empty: neither key nor record is in it", async (t) => {
  const scene = await cast("kept open");
  const { laptops, tabs, ann, toBob } = scene;
  const stranger = await laptops.tab();
  // Something of the page's own that does not let go when it is asked to.
  await inPage(stranger, async (name) => {
    globalThis.kept = await new Promise((opened) => (indexedDB.open(name).onsuccess = ({ target }) => opened(target.result)));
  }, nameOf(ann));
  const before = await inPage(stranger, count);
  assert.ok(before.keys > 0 && before.meta > 0);
  const began = Date.now();
  await tabs[0].call("erase");
  t.diagnostic(`it took ${Date.now() - began} ms`);
  for (const [table, records] of Object.entries(await inPage(stranger, count))) assert.equal(records, 0, table);
  await inPage(stranger, () => kept.close());
  await untilNothingRemains(stranger, ann);
  for (const tab of tabs) {
    await tab.untilStatus("closed", ({ connection }) => connection === "closed");
    await isClosed(tab, toBob);
  }
  await untilNothingRemains(stranger, ann);
  await end(scene, []);
});

for (const [name, options] of Object.entries({
  Chromium: { engine: "chromium", launch: { ignoreDefaultArgs: ["--disable-back-forward-cache"] } },
  Firefox: { engine: "firefox" },
})) {
  for (const anew of [false, true]) {
    test(`P4 ${name}: a page that was put aside while another erased brings nothing back${anew ? ", nor into the copy after it" : ""}`, async () => {
      const scene = await cast(`${name}, put aside, ${anew}`, options, 2);
      const { laptops, tabs, bob, ann, toBob, toAnn, said } = scene;
      const [eraser, aside] = tabs;
      const { deviceId } = aside;
      await goAway(aside.page);
      await eraser.untilStatus("alone", ({ tabs }) => tabs === 1);
      await eraser.call("erase");
      await untilNothingRemains(eraser.page, ann);
      let next = null;
      if (anew) {
        next = await laptops.client(ann);
        await next.online();
        await next.send(toBob, "from the next");
        said.push("from the next");
        await next.untilSent(toBob, said.length);
      }
      await aside.page.goBack({ waitUntil: "commit" });
      await until("it is back", () => aside.page.evaluate("globalThis.harness?.clients.length > 0 && globalThis.shown?.persisted === true"));
      await aside.untilStatus("closed", ({ connection }) => connection === "closed");
      await isClosed(aside, toBob);
      if (anew) {
        await next.send(toBob, "after that");
        said.push("after that");
        assert.deepEqual(contents(await next.untilSent(toBob, said.length)), said);
        assert.notEqual(next.deviceId, deviceId);
        assert.deepEqual(await connected(ann), [next.deviceId]);
        await next.untilStatus("alone", ({ tabs }) => tabs === 1);
        assert.deepEqual(await remains(next.page, ann), { databases: 1, locks: 1 });
      } else {
        await untilNothingRemains(aside.page, ann);
        assert.deepEqual(await connected(ann), []);
      }
      assert.deepEqual(contents(await bob.untilSent(toAnn, said.length)), said);
      await end(scene, next ? [next] : []);
    });
  }
}

test("P4 erase while all tabs send: each send is answered, nothing is left, and nothing is sent twice", async (t) => {
  const scene = await cast("in the midst");
  const { laptops, tabs, bob, ann, toBob, toAnn, said } = scene;
  const [eraser] = tabs;
  const sends = tabs.map((tab, at) =>
    tab.run(
      async ({ client }, [to, texts]) => {
        const answers = texts.map((text) =>
          client.send(to, text).then(() => ({ text, code: "sent" }), ({ code }) => ({ text, code })),
        );
        return Promise.all(answers);
      },
      [toBob, numbered(`tab ${at}, text`, 50)],
    ),
  );
  await eraser.call("erase");
  const answers = (await Promise.all(sends)).flat();
  assert.equal(answers.length, 150);
  const codes = [...new Set(answers.map(({ code }) => code))];
  assert.ok(codes.every((code) => ["sent", "closed"].includes(code)), `${codes}`);
  await untilNothingRemains(eraser.page, ann);
  await until("nobody is connected", async () => (await connected(ann)).length === 0);

  const again = await laptops.client(ann);
  await again.online();
  await again.send(toBob, "the end");
  // Whatever reached the server before: each once, and only such as was durable.
  const there = await until("the end is there", async () => {
    const list = contents(await bob.messages(toAnn, 1_000));
    return list.includes("the end") && list;
  });
  assert.equal(new Set(there).size, there.length);
  const durable = new Set(answers.filter(({ code }) => code === "sent").map(({ text }) => text));
  const others = there.filter((text) => !said.includes(text) && text !== "the end" && !durable.has(text));
  assert.deepEqual(others, []);
  t.diagnostic(`${durable.size} of 150 were durable, ${there.length - said.length - 1} had been sent`);
  assert.deepEqual(contents(await again.untilSent(toBob, there.length)), there);
  await end(scene, [again]);
});

test("P4 to erase twice at once, and from all tabs at once, is to erase", async () => {
  const scene = await cast("all at once");
  const { laptops, tabs, ann, toBob } = scene;
  const erase = ({ client }) => Promise.all([client.erase(), client.erase()]).then(() => "done", ({ code }) => code);
  const answers = await Promise.all(tabs.map((tab) => tab.run(erase)));
  // Whoever hears of it before the own call is at its end by then.
  assert.ok(answers.includes("done") && answers.every((answer) => ["done", "closed"].includes(answer)), `${answers}`);
  await untilNothingRemains(tabs[0].page, ann);
  const again = await laptops.client(ann);
  await again.online();
  assert.deepEqual(contents(await again.untilSent(toBob, scene.said.length)), scene.said);
  await end(scene, [again]);
});

test("P4 erase refuses what makes no sense, and erases nothing then", async () => {
  const scene = await cast("odd options");
  const { tabs, ann } = scene;
  for (const options of [{ revoke: "yes" }, { revoke: 1 }, 7, "revoke", true]) {
    for (const tab of tabs) await assert.rejects(tab.call("erase", options), { code: "invalid", isSyncError: true }, JSON.stringify(options));
  }
  assert.deepEqual(await remains(tabs[0].page, ann), { databases: 1, locks: 3 });
  for (const tab of tabs) await tab.online();
  await end(scene, []);
});

/** Ann’s browser with three tabs, and Bob’s, and what they have said. */
async function cast(name, options = {}, count = 3) {
  const laptops = await stage.profile(server, options);
  const [ann, bobName] = [`ann, ${name}`, `bob, ${name}`];
  const [toBob, toAnn] = [`direct:${bobName}`, `direct:${ann}`];
  const bob = await bobs.client(bobName);
  const tabs = [];
  while (tabs.length < count) tabs.push(await laptops.client(ann, {}, tabs.length === 0 ? "/odd.html" : "/"));
  for (const client of [bob, ...tabs]) await client.online();
  const said = ["hello", "hello yourself", "well"];
  await tabs[1].send(toBob, said[0]);
  await bob.untilSent(toAnn, 1);
  await bob.send(toAnn, said[1]);
  await tabs[1].untilSent(toBob, 2);
  await tabs[1].send(toBob, said[2]);
  for (const tab of tabs) await tab.untilSent(toBob, 3);
  await bob.untilSent(toAnn, 3);
  return { laptops, tabs, bob, ann, toBob, toAnn, said };
}

async function withRole(tabs, role) {
  const roles = await Promise.all(tabs.map((tab) => tab.status()));
  return tabs[roles.findIndex((it) => it.role === role)];
}

async function isClosed(tab, conversation) {
  for (const call of [["send", conversation, "x"], ["history", conversation], ["conversations"], ["devices"], ["syncNow"], ["erase"]]) {
    await assert.rejects(tab.call(...call), { code: "closed", isSyncError: true, retryable: false }, call[0]);
  }
  await tab.close();
}

/** The ids of an account's devices that are connected. */
async function connected(account) {
  return (await server.connections(account)).map(({ device_id }) => device_id);
}

/** The ids of all of an account's devices. */
async function registered(account) {
  const { devices } = await server.call("GET", `/api/devices?user_id=${encodeURIComponent(account)}`);
  return devices.map(({ id }) => id);
}

/** Has a page stand still, between two tasks; returns what thaws it. What others say meanwhile it never hears. */
async function freeze({ page }) {
  const session = await page.context().newCDPSession(page);
  await session.send("Debugger.enable");
  const paused = new Promise((paused) => session.once("Debugger.paused", paused));
  await session.send("Runtime.evaluate", { expression: "setTimeout(() => { debugger; })" });
  await paused;
  return async () => {
    await session.send("Debugger.resume");
    await session.detach();
  };
}

/** In a page that keeps a database open: how many records are in each of its tables. */
async function count() {
  const counts = {};
  for (const table of kept.objectStoreNames) {
    const request = kept.transaction(table).objectStore(table).count();
    counts[table] = await new Promise((counted) => (request.onsuccess = () => counted(request.result)));
  }
  return counts;
}

/** Goes on to another page of the site, as a link does. */
async function goAway(page) {
  await inPage(page, () => {
    delete globalThis.shown;
    addEventListener("pageshow", ({ persisted }) => (globalThis.shown = { persisted }), { once: true });
  });
  await page.goto(`${server.origin}/away.html`);
}

async function end({ laptops, tabs, bob }, more) {
  await leave([...more, ...tabs, bob]);
  assert.deepEqual(laptops.pageErrors, []);
  await laptops.close();
}
