import { until } from "./until.mjs";

/** A SyncClient in a tab, as seen from outside. */
export class Client {
  page;
  account;
  deviceId;
  #number;

  static async open(page, options) {
    const client = new Client();
    client.page = page;
    client.account = options.account;
    client.#number = await inPage(page, (options) => harness.open(options), options);
    client.deviceId = await client.run(({ client }) => client.deviceId);
    return client;
  }

  /** Runs a function in the page, on `{ client, log, begun }`; a SyncError comes out as {@link CallFailed}. */
  async run(body, argument) {
    const source = `(argument) => (${body})(harness.clients[${this.#number}], argument)`;
    return inPage(this.page, source, argument);
  }

  call(method, ...args) {
    return this.run(({ client }, [method, args]) => client[method](...args), [method, args]);
  }

  send(conversation, content, options = {}) {
    return this.call("send", conversation, content, options);
  }

  /** Sends texts one after another, each once the one before it is durable. */
  sendAll(conversation, texts) {
    const body = async ({ client }, [conversation, texts]) => {
      const sent = [];
      for (const text of texts) sent.push(await client.send(conversation, text));
      return sent;
    };
    return this.run(body, [conversation, texts]);
  }

  history(conversation, page = {}) {
    return this.call("history", conversation, page);
  }

  /** A whole conversation, oldest first. */
  async messages(conversation, limit = 100) {
    const body = ({ client }, [conversation, limit]) => harness.readAll(client, conversation, limit);
    const { messages, holes } = await this.run(body, [conversation, limit]);
    if (holes.length > 0) throw new Error(`${this.account} misses ${JSON.stringify(holes)} of ${conversation}`);
    return messages;
  }

  status() {
    return this.run(({ client }) => client.status());
  }

  /** What listeners were told, in order: `{ at, event }`. */
  log(kind) {
    return this.run(({ log }, kind) => log[kind], kind);
  }

  /** Messages that listeners were told of as new, each time. */
  async added() {
    const batches = await this.log("messages");
    return batches.flatMap(({ event }) => event).filter(({ change }) => change === "added");
  }

  setOffline(offline) {
    return this.call("setOffline", offline);
  }

  online(options) {
    return this.untilStatus("online", ({ connection }) => connection === "online", options);
  }

  async untilStatus(what, holds, options) {
    let last;
    const check = async () => holds((last = await this.status())) && last;
    return until(`${this.account} is ${what}`, check, options).catch((error) => {
      throw new Error(`${error.message}; it is ${JSON.stringify(last)}`);
    });
  }

  /** Waits for this many messages in a conversation, all of them sent; returns them. */
  async untilSent(conversation, count, options) {
    let last = [];
    const check = async () => {
      last = await this.messages(conversation);
      return last.length >= count && last.every(({ state }) => state === "sent") && last;
    };
    return until(`${this.account} sees ${count} sent messages in ${conversation}`, check, options).catch((error) => {
      const sent = last.filter(({ state }) => state === "sent").length;
      throw new Error(`${error.message}; there are ${last.length}, ${sent} of them sent`);
    });
  }

  close() {
    return this.call("close");
  }
}

/** A call in the page has failed: what a SyncError says. */
export class CallFailed extends Error {
  constructor({ name, message, code, retryable, isSyncError }) {
    super(`${code ?? name}: ${message}`);
    Object.assign(this, { code, retryable, isSyncError });
  }
}

/** Calls a function in a page that has the harness. */
export async function inPage(page, body, argument) {
  const given = argument === undefined ? "undefined" : JSON.stringify(argument);
  const { value, failure } = await page.evaluate(`harness.settle(() => (${body})(${given}))`);
  if (failure) throw new CallFailed(failure);
  return value;
}
