// The devices of an account: how they come to be known, and what any of them can do about the others.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, away, back, begin, cast, leave } from "./support/cast.mjs";
import { KEY } from "./support/server.mjs";
import { until } from "./support/until.mjs";

const { stage, server, browsers } = await begin();

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;

test("D1 a browser registers itself when it first connects, and all of its tabs are one device", async () => {
  const began = Date.now();
  const device = { name: "Ann’s laptop", platform: "desktop" };
  const [first, second] = [
    await browsers.laptop.client("ann, new", { device }),
    await browsers.laptop.client("ann, new", { device: { name: "another name" } }),
  ];
  for (const client of [first, second]) await client.online();
  const [own, ...others] = await overHttp("ann, new");
  assert.deepEqual(others, []);
  const { registered_at: registered, last_seen: seen, ...rest } = own;
  assert.deepEqual(rest, { id: first.deviceId, name: device.name, platform: "desktop", online: true, push: false });
  assert.match(first.deviceId, UUID);
  assert.ok(registered >= began - 1_000 && seen >= registered && seen <= Date.now() + 1_000, `${registered}, ${seen}`);

  await leave([first, second]);
  await until("it is away", async () => !(await overHttp("ann, new"))[0].online);
  const again = await browsers.laptop.client("ann, new", { device });
  await again.online();
  const [{ id, registered_at: at, online }, ...more] = await overHttp("ann, new");
  assert.deepEqual([id, at, online, more], [first.deviceId, registered, true, []], "it is the same one when it comes back");
  await leave([again]);
});

test("D1 a browser without a lasting id is no device of the account", async () => {
  const client = await browsers.laptop.client("ann, passing", { config: { disableDeviceId: true } });
  await client.online();
  assert.equal(client.deviceId, null);
  assert.deepEqual(await overHttp("ann, passing"), []);
  assert.deepEqual(await client.call("devices"), []);
  // It may look after the others all the same.
  await register("ann, passing", ["old phone"]);
  await agree("it knows", [client], names, (list) => list.join() === "old phone");
  await client.call("renameDevice", "old phone", "older phone");
  await client.call("removeDevice", "old phone");
  assert.deepEqual(await client.call("devices"), []);
  await assert.rejects(client.call("erase", { revoke: true }), { code: "unsupported", isSyncError: true });
  assert.equal((await client.status()).connection, "online", "and nothing was erased");
  await leave([client]);
});

test("D1 devices are registered over HTTP, as often as one likes, by the back end or the user", async () => {
  const scene = await cast(browsers, "registered");
  const { laptop, tab, phone, ann } = scene;
  assert.deepEqual(await register(ann, ["device_1", "device_2"]), { message: "Devices registered successfully" });
  const expected = [laptop.deviceId, phone.deviceId, "device_1", "device_2"].toSorted();
  for (const client of [laptop, tab, phone]) await told(client, (list) => list.map(({ id }) => id).toSorted().join() === expected.join());
  await agree("all list them", [laptop, tab, phone], ids, (list) => list.length === 4);
  const before = await overHttp(ann);
  assert.deepEqual(await register(ann, ["device_2", "device_1", "device_1"]), { message: "Devices registered successfully" });
  assert.deepEqual(await overHttp(ann), before, "the same again is the same");
  const found = (await laptop.call("devices")).find(({ id }) => id === "device_1");
  const { registeredAt, lastSeen, ...rest } = found;
  assert.deepEqual(rest, { id: "device_1", name: "device_1", platform: "web", online: false, push: false, current: false });
  assert.equal(lastSeen, registeredAt);

  // The user may, with a token of their own; for themselves alone.
  const asUser = async (userId, token) => {
    const response = await post({ user_id: userId, devices: ["device_3"] }, token);
    return response.status;
  };
  assert.equal(await asUser(ann, await server.token(ann)), 200);
  assert.equal(await asUser(scene.bobName, await server.token(ann)), 404);
  assert.equal(await asUser(ann, "nonsense"), 401);
  assert.equal(await asUser(ann, ""), 401);
  assert.ok((await overHttp(ann)).some(({ id }) => id === "device_3"));
  assert.ok(!(await overHttp(scene.bobName)).some(({ id }) => id === "device_3"));
  // A number is an account's name, too.
  assert.deepEqual(await register(1, ["device_1", "device_2"]), { message: "Devices registered successfully" });
  assert.deepEqual((await overHttp("1")).map(({ id }) => id), ["device_1", "device_2"]);
  await leave(scene.all);
});

test("D1 what makes no sense in a registration is answered with 422 and the field", async () => {
  const many = Array.from({ length: 101 }, (_, at) => `device_${at}`);
  const wrong = {
    user_id: [undefined, null, "", 1.5, true, [], {}, "x".repeat(129), "a\u0007b"],
    devices: [undefined, null, "device_1", [], [""], [7], [null], [["a"]], {}, ["fine", "x".repeat(129)], ["\u0000"], many],
    colour: ["blue"],
  };
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      const response = await post({ user_id: "wrong", devices: ["device_1"], [field]: value });
      const { error } = await response.json();
      const what = `${field}: ${JSON.stringify(value)}`;
      assert.deepEqual([response.status, error.code, error.field], [422, "invalid", field], what);
      assert.ok(error.message.length > 0 && error.message.length < 200, what);
    }
  }
  for (const body of ["", "[]", "{", '"text"', '{"user_id": 1']) {
    const response = await post(body);
    const { error } = await response.json();
    assert.deepEqual([response.status, error.field], [422, "body"], body);
  }
  assert.deepEqual(await overHttp("wrong"), [], "nothing of it was registered");
});

test("D2 every tab of every device lists the same devices, and is told when something about one changes", async () => {
  const scene = await cast(browsers, "listed");
  const { laptop, tab, phone, ann, bob } = scene;
  const everyone = [laptop, tab, phone];
  const areThere = (list) => list.length === 2 && list.every(({ online }) => online);
  const list = await agree("all say the same", everyone, anyones, areThere);
  assert.deepEqual(list.map(({ id }) => id), [laptop.deviceId, phone.deviceId], "the first registered first");
  for (const client of everyone) {
    const current = (await client.call("devices")).filter(({ current }) => current).map(({ id }) => id);
    assert.deepEqual(current, [client.deviceId]);
  }
  const http = await overHttp(ann);
  assert.deepEqual(http.map(({ id, name, platform }) => [id, name, platform]), list.map(({ id, name, platform }) => [id, name, platform]));

  // One comes and goes.
  const tablets = await stage.profile(server);
  const tablet = await tablets.client(ann, { device: { name: "Tablet", platform: "web" } });
  await tablet.online();
  for (const client of everyone) await told(client, (list) => list.some(({ id, online }) => id === tablet.deviceId && online));
  const { deviceId } = tablet;
  await tablets.close();
  for (const client of everyone) await told(client, (list) => list.some(({ id, online }) => id === deviceId && !online));
  await agree("it stays in the list", everyone, anyones, (list) => list.some(({ id, online }) => id === deviceId && !online));
  // Another account is told nothing of it.
  assert.deepEqual((await bob.call("devices")).map(({ id }) => id), [bob.deviceId]);
  const heard = JSON.stringify(await bob.log("devices"));
  for (const id of [laptop.deviceId, phone.deviceId, deviceId]) assert.ok(!heard.includes(id));
  await leave(scene.all);
});

test("D2 a device is renamed from the tab that leads, one that follows, another device and over HTTP", async () => {
  const scene = await cast(browsers, "renamed");
  const { laptop, tab, phone, ann } = scene;
  const everyone = [laptop, tab, phone];
  await agree("both are known", everyone, ids, (list) => list.length === 2);
  const ways = {
    "by the leader": (name) => laptop.call("renameDevice", phone.deviceId, name),
    "by a follower": (name) => tab.call("renameDevice", phone.deviceId, name),
    "by itself": (name) => phone.call("renameDevice", phone.deviceId, name),
    "by the back end": (name) => server.call("PATCH", path(phone.deviceId, ann), { name }),
    "by the user": (name) => asUser("PATCH", phone.deviceId, ann, { name }),
  };
  for (const [name, rename] of Object.entries(ways)) {
    await rename(name);
    for (const client of everyone) await told(client, (list) => list.some((it) => it.id === phone.deviceId && it.name === name));
    await agree(name, everyone, anyones, (list) => list.find(({ id }) => id === phone.deviceId).name === name);
    assert.equal((await overHttp(ann)).find(({ id }) => id === phone.deviceId).name, name);
  }
  // What the user calls it counts from then on, whatever it calls itself.
  await leave([phone]);
  const again = await browsers.phone.client(ann, { device: { name: "Its own name" } });
  await again.online();
  await agree("it keeps its name", [laptop, tab, again], (client) => nameOf(client, phone.deviceId), (name) => name === "by the user");
  await leave([laptop, tab, scene.bob, again]);
});

test("D2 names of any kind are shown as they are, or refused as invalid, and nothing changes then", async () => {
  const scene = await cast(browsers, "odd names");
  const { laptop, tab, phone, ann } = scene;
  const fine = [
    "<img src=x onerror=alert(1)>",
    "__proto__",
    "constructor",
    "‮drawkcab",
    "👩‍👩‍👧 and 🎻",
    "'; DROP TABLE devices; --",
    " ",
    "x".repeat(128),
    "é".repeat(64),
    "%00../..",
  ];
  for (const name of fine) {
    await tab.call("renameDevice", phone.deviceId, name);
    assert.equal(await nameOf(laptop, phone.deviceId), name);
    assert.equal((await overHttp(ann)).find(({ id }) => id === phone.deviceId).name, name);
  }
  // As ids, too.
  await register(ann, fine);
  for (const id of fine) {
    await laptop.call("renameDevice", id, "found");
    assert.equal(await nameOf(phone, id), "found");
    await server.call("DELETE", path(id, ann));
  }
  await agree("none is left", [laptop, tab, phone], ids, (list) => list.length === 2);
  const hostile = ["", "x".repeat(129), "é".repeat(65), "a\u0000b", "line\nbreak", "\u007f", "\u0085"];
  const before = await overHttp(ann);
  for (const name of hostile) {
    for (const client of [laptop, tab, phone]) {
      await assert.rejects(client.call("renameDevice", phone.deviceId, name), { code: "invalid", isSyncError: true });
      await assert.rejects(client.call("renameDevice", name, "fine"), { code: "invalid", isSyncError: true });
      await assert.rejects(client.call("removeDevice", name), { code: "invalid", isSyncError: true });
    }
    await assert.rejects(server.call("PATCH", path(phone.deviceId, ann), { name }), /: 422 .*"field":"name"/);
  }
  for (const name of [undefined, null, 7, ["a"]]) {
    await assert.rejects(server.call("PATCH", path(phone.deviceId, ann), { name }), /: 422 .*"field":"name"/);
  }
  await assert.rejects(server.call("PATCH", path(phone.deviceId, ann), { name: "a", colour: "blue" }), /: 422 .*"field":"colour"/);
  await assert.rejects(server.call("PATCH", `/api/devices/${phone.deviceId}`, { name: "a" }), /: 422 .*"field":"user_id"/);
  await assert.rejects(server.call("DELETE", `/api/devices/${phone.deviceId}`), /: 422 .*"field":"user_id"/);
  const still = ({ id, name, platform }) => [id, name, platform];
  assert.deepEqual((await overHttp(ann)).map(still), before.map(still));
  await leave(scene.all);
});

test("D2 a device that was only registered is removed from wherever one likes, and gone from all lists", async () => {
  const scene = await cast(browsers, "never there");
  const { laptop, tab, phone, ann } = scene;
  const ways = {
    "by the leader": () => laptop.call("removeDevice", "by the leader"),
    "by a follower": () => tab.call("removeDevice", "by a follower"),
    "by another device": () => phone.call("removeDevice", "by another device"),
    "by the back end": () => server.call("DELETE", path("by the back end", ann)),
    "by the user": () => asUser("DELETE", "by the user", ann),
  };
  await register(ann, Object.keys(ways));
  let left = Object.keys(ways).length + 2;
  for (const [name, remove] of Object.entries(ways)) {
    for (const client of [laptop, tab, phone]) await told(client, (list) => list.some(({ id }) => id === name));
    await remove();
    left -= 1;
    for (const client of [laptop, tab, phone]) await told(client, (list) => list.length === left && list.every(({ id }) => id !== name));
    assert.ok(!(await overHttp(ann)).some(({ id }) => id === name));
    // Once more is done already; it does not come back under that id.
    await laptop.call("removeDevice", name);
    await assert.rejects(register(ann, [name]), /: 409 .*"field":"devices"/);
  }
  for (const client of [laptop, tab, phone]) {
    assert.deepEqual(await client.log("removed"), []);
    assert.equal((await client.status()).connection, "online");
  }
  await leave(scene.all);
});

test("D2 who is not there, and whom another account has, are the same: not found", async () => {
  const scene = await cast(browsers, "unknown");
  const { laptop, tab, phone, bob, ann, bobName } = scene;
  const stranger = crypto.randomUUID();
  for (const id of [stranger, bob.deviceId, "nobody"]) {
    for (const client of [laptop, tab, phone]) {
      const answers = [];
      for (const call of [["renameDevice", id, "mine now"], ["removeDevice", id]]) {
        await assert.rejects(client.call(...call), (error) => {
          answers.push(error.message);
          return error.code === "not-found" && error.isSyncError && !error.retryable;
        });
      }
      assert.deepEqual(answers.map((answer) => answer.includes(id) || answer.includes(bobName)), [false, false]);
    }
    await assert.rejects(server.call("PATCH", path(id, ann), { name: "mine now" }), /: 404 /);
    await assert.rejects(server.call("DELETE", path(id, ann)), /: 404 /);
    const token = await server.token(ann);
    for (const method of ["PATCH", "DELETE"]) {
      const body = method === "PATCH" ? JSON.stringify({ name: "mine now" }) : undefined;
      const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
      const response = await fetch(server.origin + path(id, bobName), { method, headers, body });
      assert.equal(response.status, 404, "nor with a token for another account");
    }
  }
  assert.equal((await bob.status()).connection, "online");
  assert.deepEqual(await bob.log("removed"), []);
  const [{ id, name }] = await overHttp(bobName);
  assert.deepEqual([id, name === "mine now"], [bob.deviceId, false]);
  await leave(scene.all);
});

test("D2 without a connection the server cannot be asked, and that is said at once", async () => {
  const scene = await cast(browsers, "offline");
  const { laptop, tab, phone, ann } = scene;
  const before = await overHttp(ann);
  await away(laptop);
  for (const client of [laptop, tab]) {
    await client.untilStatus("offline", ({ connection }) => connection === "offline");
    for (const call of [["devices"], ["renameDevice", phone.deviceId, "x"], ["removeDevice", phone.deviceId], ["erase", { revoke: true }]]) {
      await assert.rejects(client.call(...call), { code: "offline", isSyncError: true, retryable: true }, call[0]);
    }
  }
  await back(laptop);
  await agree("nothing has changed", [laptop, tab, phone], ids, (list) => list.join() === before.map(({ id }) => id).join());
  assert.equal(await nameOf(tab, phone.deviceId), before.find(({ id }) => id === phone.deviceId).name);
  await leave(scene.all);
});

/** The devices of an account, as its back end sees them. */
async function overHttp(account) {
  const { devices } = await server.call("GET", `/api/devices?user_id=${encodeURIComponent(account)}`);
  return devices;
}

function register(account, devices) {
  return server.call("POST", "/api/devices", { user_id: account, devices });
}

/** The same, whatever is in it, with any token: the response. */
function post(body, token) {
  const authorization = `Bearer ${token ?? KEY}`;
  const headers = { "content-type": "application/json", authorization };
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return fetch(`${server.origin}/api/devices`, { method: "POST", headers, body: text });
}

function path(device, account) {
  return `/api/devices/${encodeURIComponent(device)}?user_id=${encodeURIComponent(account)}`;
}

async function asUser(method, device, account, body) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${await server.token(account)}` };
  const response = await fetch(server.origin + path(device, account), { method, headers, body: body && JSON.stringify(body) });
  assert.equal(response.status, method === "DELETE" ? 204 : 200);
}

/** What a client says of the devices, but for which one it is itself, and when they were seen last. */
async function anyones(client) {
  const devices = await client.call("devices");
  return devices.map(({ id, name, platform, online, push, registeredAt }) => ({ id, name, platform, online, push, registeredAt }));
}

async function ids(client) {
  return (await client.call("devices")).map(({ id }) => id);
}

async function names(client) {
  return (await client.call("devices")).map(({ name }) => name);
}

async function nameOf(client, device) {
  return (await client.call("devices")).find(({ id }) => id === device)?.name;
}

/** Waits until the last that a client was told of the devices is such; each list says which device is its own. */
async function told(client, holds) {
  let last;
  const check = async () => {
    last = (await client.log("devices")).at(-1)?.event;
    return last && holds(last) && last;
  };
  const list = await until("it is told of the devices", check).catch((error) => {
    throw new Error(`${error.message}; the last was ${JSON.stringify(last)}`);
  });
  assert.deepEqual(list.filter(({ current }) => current).map(({ id }) => id), client.deviceId === null ? [] : [client.deviceId]);
  return list;
}
