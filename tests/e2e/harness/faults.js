// Makes IndexedDB fail, or stop, in one database of the page: that of one account. Load it before the
// package. Everything else works as ever.

/** What a database is to do wrong, by its name. */
const armed = new Map();
/** What became of the transactions that a database's leader was stopped in, by the database's name. */
const stopped = new Map();
/** Transactions that were not issued whole, by the database's name. */
const unfinished = new Map();
/** How durable writes to the outbox were asked to be, by the database's name. */
const durabilities = new Map();

/** The name of an account's database. */
export async function databaseOf(account) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`tutti:${account}`)));
  const hex = Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0"));
  return `tutti-${hex.join("")}`;
}

/**
 * Makes the n-th operation from now on fail: by throwing an error of a name, by aborting the transaction
 * once the operation is under way ("abort"), or by closing the database before it ("close").
 */
export function arm(database, n, kind) {
  armed.set(database, { n, kind, count: 0, fired: false });
}

/** Makes everything work again; says whether something has failed, and how many operations there were. */
export function disarm(database) {
  const { fired, count } = armed.get(database);
  armed.delete(database);
  return { fired, count };
}

/** Stops in the debugger at the next commit of a leader: before its transaction, or once that is issued. */
export function stopAt(database, moment) {
  stopped.set(database, { moment, outcome: null });
}

export function outcomeOf(database) {
  return stopped.get(database)?.outcome ?? null;
}

export function unfinishedOf(database) {
  return unfinished.get(database) ?? 0;
}

export function durabilitiesOf(database) {
  return durabilities.get(database) ?? [];
}

function fails(database, transaction, handle) {
  const fault = armed.get(database);
  if (!fault || ++fault.count !== fault.n) return null;
  fault.fired = true;
  if (fault.kind === "close") handle?.close();
  else if (fault.kind !== "abort") throw new DOMException(`made to fail with ${fault.kind}`, fault.kind);
  return fault.kind === "abort" ? transaction : null;
}

function around(prototype, method, wrap) {
  const original = prototype[method];
  prototype[method] = function (...given) {
    return wrap.call(this, () => original.apply(this, given), given);
  };
}

for (const method of ["get", "getKey", "getAll", "getAllKeys", "put", "add", "delete", "clear"]) {
  around(IDBObjectStore.prototype, method, function (operate) {
    const { transaction } = this;
    const aborting = fails(transaction.db.name, transaction, transaction.db);
    const request = operate();
    aborting?.abort();
    return request;
  });
}

around(IDBTransaction.prototype, "commit", function (operate) {
  const database = this.db.name;
  fails(database, null, this.db);
  this.issued = true;
  const result = operate();
  const stop = stopped.get(database);
  if (stop?.moment === "issued" && stop.transaction === this) {
    stop.moment = null;
    // eslint-disable-next-line no-debugger
    debugger;
  }
  return result;
});

around(IDBDatabase.prototype, "transaction", function (operate, [stores, mode, options]) {
  const database = this.name;
  const names = [stores].flat();
  const commits = mode === "readwrite" && names.includes("journal");
  const stop = stopped.get(database);
  if (commits && stop?.moment === "before") {
    stop.moment = null;
    stop.transaction = "next";
    // eslint-disable-next-line no-debugger
    debugger;
  }
  fails(database, null, this);
  const transaction = operate();
  if (commits && stop && (stop.transaction === "next" || (stop.moment === "issued" && !stop.transaction))) {
    stop.transaction = transaction;
    for (const outcome of ["complete", "abort"]) {
      transaction.addEventListener(outcome, () => (stop.outcome = outcome));
    }
  }
  if (mode === "readwrite" && names.length === 1 && names[0] === "outbox") {
    durabilities.set(database, [...durabilitiesOf(database), options?.durability]);
  }
  queueMicrotask(() => {
    if (!transaction.issued) unfinished.set(database, unfinishedOf(database) + 1);
  });
  return transaction;
});

around(IDBFactory.prototype, "open", function (operate, [name]) {
  fails(name, null, null);
  return operate();
});

/** What tabs do all day, in two clients, with one operation failing. Returns what went wrong in the end. */
export async function live({ account, options, key, n, kind }) {
  const { init, SyncClient } = window.tutti;
  await init();
  const database = await databaseOf(account);
  const clients = [];
  for (let tab = 0; tab < 2; tab += 1) clients.push(await SyncClient.open({ ...options, account }));
  const told = clients.map(() => []);
  clients.forEach((client, at) =>
    client.on("messages", (changes) =>
      told[at].push(...changes.filter(({ change }) => change === "added").map(({ message }) => message.id)),
    ),
  );
  await until("both are online", () => clients.every((client) => client.status().connection === "online"));

  arm(database, n, kind);
  const [one, other] = clients;
  const confirmed = [];
  const refused = [];
  const send = (client, text) =>
    client.send("direct:bob", text).then(
      () => confirmed.push(text),
      ({ code, message }) => refused.push({ code, message }),
    );
  await send(other, "from a follower");
  const inbound = await fetch("/api/messages", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
    body: JSON.stringify({ from: "bob", to: `direct:${account}`, content: "from elsewhere" }),
  });
  if (!inbound.ok) throw new Error(`the inbound message was refused: ${inbound.status}`);
  confirmed.push("from elsewhere");
  await Promise.all([send(one, "from the leader"), send(other, "at the same time")]);
  await one.markRead("direct:bob").catch(({ code, message }) => refused.push({ code, message }));
  await one.history("direct:bob").catch(({ code, message }) => refused.push({ code, message }));
  let lists;
  const settled = async () => {
    lists = await Promise.all(clients.map((client) => client.history("direct:bob", { limit: 100 })));
    const complete = lists.every(
      ({ messages, holes }) =>
        holes.length === 0 &&
        messages.every(({ state }) => state === "sent") &&
        confirmed.every((text) => messages.filter(({ content }) => content === text).length === 1) &&
        JSON.stringify(messages) === JSON.stringify(lists[0].messages),
    );
    return (
      complete && clients.every((client) => client.status().pending === 0 && client.status().connection === "online")
    );
  };
  await until("the fault was met, or there was none to meet", async () => armed.get(database).fired || settled());
  const { fired, count } = disarm(database);

  const wrong = [];
  await until("all is in step", settled).catch((error) => {
    const statuses = clients.map((client) => JSON.stringify(client.status()));
    const contents = lists.map(({ messages }) => messages.map(({ content, state }) => `${content} (${state})`));
    wrong.push(`${error.message}; confirmed ${confirmed}; there ${JSON.stringify(contents)}; ${statuses}`);
  });
  told.forEach((ids, at) => {
    if (new Set(ids).size !== ids.length) wrong.push(`client ${at} was told twice`);
  });
  for (const { code, message } of refused) {
    if (!["storage", "quota"].includes(code)) wrong.push(`a call was refused with ${code}: ${message}`);
  }
  for (const client of clients) await client.close();
  return { n, kind, fired, count, refused: refused.length, wrong };
}

async function until(what, check) {
  const end = performance.now() + 60_000;
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`not within 60 s: ${what}`);
    await new Promise((resume) => setTimeout(resume, 30));
  }
}
