// Several servers over PostgreSQL and Redis, behind one address.
import { once } from "node:events";
import { cp, readdir } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { Server, Service } from "./server.mjs";
import { filesIn } from "./stored.mjs";

/** Made up by the first server that starts, for development. */
const KEY_FILES = /\.(key|secret)$/;

/** Looks from outside like a {@link Server}; what is done to that is done to all of its instances. */
export class Cluster extends Service {
  /** The servers, which can also be killed and started one by one. */
  instances;
  postgres;
  /** None where one instance is alone. */
  redis;
  #config;
  #balancer;

  /** `directories`: one for each instance, which have nothing in common but what a server is told. */
  static async start({ directories, postgres, redis, args, ...config }) {
    const cluster = new Cluster();
    const databases = ["--database-url", postgres.url, ...(redis ? ["--redis-url", redis.url] : [])];
    const server = (data) => new Server({ ...config, data, args: [...databases, ...args] });
    const [first, ...others] = (cluster.instances = directories.map(server));
    Object.assign(cluster, { postgres, redis });
    cluster.#config = config;
    try {
      await first.start();
      for (const other of others) await copyKeys(first.data, other.data);
      await Promise.all(others.map((other) => other.start()));
    } catch (error) {
      await cluster.kill();
      throw error;
    }
    cluster.#balancer = await Balancer.before(cluster.instances);
    return cluster;
  }

  get origin() {
    return this.#balancer.origin;
  }

  /** What the first instance has on its own disk. */
  get data() {
    return this.instances[0].data;
  }

  /** What the others have, and what all have in the database. */
  async filesElsewhere() {
    const others = this.instances.slice(1).map(({ data }) => filesIn(data));
    return (await Promise.all([...others, this.postgres.files()])).flat();
  }

  get log() {
    return this.#config.log;
  }

  get runs() {
    return this.instances.some(({ runs }) => runs);
  }

  async start(more) {
    await Promise.all(this.instances.map((server) => server.start(more)));
  }

  async kill() {
    await Promise.all(this.instances.map((server) => server.kill()));
  }

  async stop() {
    await Promise.all(this.instances.map((server) => server.stop()));
  }

  /** As {@link Server}'s, but nobody is disturbed. */
  async backUp() {
    await this.postgres.backUp();
  }

  async restore() {
    await this.stop();
    await this.postgres.restore();
    await this.instances[0].renameLog();
    await this.start();
  }

  /** Ends what is in front of the instances, too. */
  async end() {
    await this.stop();
    await this.#balancer.end();
  }
}

/** Passes each connection to the next server that takes it. */
class Balancer {
  #servers;
  #listener;
  #sockets = new Set();
  #turn = 0;

  static async before(servers) {
    const balancer = new Balancer();
    balancer.#servers = servers;
    balancer.#listener = createServer({ pauseOnConnect: true, noDelay: true }, (near) => {
      near.on("error", () => {}); // followed by its close
      balancer.#pass(near, balancer.#inTurn());
    });
    balancer.#listener.listen(0, "127.0.0.1");
    await once(balancer.#listener, "listening");
    return balancer;
  }

  get origin() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  async end() {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#listener, "close");
  }

  #inTurn() {
    const at = this.#turn++ % this.#servers.length;
    const servers = [...this.#servers.slice(at), ...this.#servers.slice(0, at)];
    return servers.filter(({ runs }) => runs);
  }

  #pass(near, [server, ...others]) {
    if (!server) return near.resetAndDestroy();
    const { hostname, port } = new URL(server.origin);
    const far = connect({ host: hostname, port, noDelay: true });
    const next = () => this.#pass(near, others);
    far.once("error", next);
    far.once("connect", () => {
      far.off("error", next).on("error", () => {}); // followed by its close
      if (near.destroyed) return far.destroy();
      near.pipe(far).pipe(near);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ]) {
        this.#sockets.add(one);
        one.once("close", (failed) => {
          this.#sockets.delete(one);
          // What was said before a proper end is still passed on.
          if (failed || one === near) other.destroy();
        });
      }
    });
  }
}

async function copyKeys(from, to) {
  for (const file of (await readdir(from)).filter((file) => KEY_FILES.test(file))) await cp(join(from, file), join(to, file));
}
