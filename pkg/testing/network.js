// The network between clients and a server in memory: frames go in order, each as long on its way as is said.

export class Network {
  #memory;
  #clock;
  #sockets = new Map();
  #latency = 0;
  #online = true;
  /** What is on its way, each after the one before. */
  #way = Promise.resolve();

  constructor(memory, clock) {
    [this.#memory, this.#clock] = [memory, clock];
  }

  offline() {
    this.#switch(false);
  }

  online() {
    this.#switch(true);
  }

  latency(milliseconds) {
    this.#latency = milliseconds;
  }

  drop() {
    for (const socket of [...this.#sockets.values()]) {
      this.disconnect(socket);
      socket.end();
    }
  }

  /** Connects a socket, or fails to, as a browser does: later, and without saying why. */
  connect(socket) {
    this.#later(() => {
      if (socket.readyState !== CONNECTING) return;
      if (!this.#online) return socket.end();
      socket.wire = this.#memory.open();
      this.#sockets.set(socket.wire, socket);
      socket.open();
    });
  }

  /** The server is to receive a frame. */
  send(socket, frame) {
    this.#later(() => {
      if (!this.#sockets.has(socket.wire)) return;
      this.#memory.receive(socket.wire, frame, this.#clock());
      this.carry();
    });
  }

  disconnect(socket) {
    if (!this.#sockets.delete(socket.wire)) return;
    this.#memory.close(socket.wire);
    this.carry();
  }

  /** Posts a body, and gives what answers it. */
  async post(body) {
    await this.#later(() => {});
    if (!this.#online) throw new TypeError("the test network is offline");
    const answer = this.#memory.post(body, this.#clock());
    this.carry();
    await this.#later(() => {});
    return answer;
  }

  /** Sends on their way what the server has said. */
  carry() {
    for (const [wire, frame] of this.#memory.said()) {
      const socket = this.#sockets.get(wire);
      if (frame === null) this.#sockets.delete(wire);
      if (socket) this.#later(() => (frame === null ? socket.end() : socket.receive(frame)));
    }
  }

  #switch(online) {
    if (this.#online === online) return;
    this.#online = online;
    if (!online) this.drop();
    tellPage(online);
  }

  /** In a task of its own at the least, as what comes over a network: listeners are told in between. */
  #later(work) {
    const due = new Promise((arrive) => setTimeout(arrive, this.#latency));
    const done = this.#way.then(() => due).then(work);
    this.#way = done.catch((error) => console.error(error));
    return done;
  }
}

/** What clients and applications go by. */
function tellPage(online) {
  if (globalThis.navigator) {
    // Its own answer is the prototype's.
    if (online) delete navigator.onLine;
    else Object.defineProperty(navigator, "onLine", { value: false, configurable: true });
  }
  globalThis.dispatchEvent(new Event(online ? "online" : "offline"));
}

const [CONNECTING, OPEN, CLOSED] = [0, 1, 3];

/** As much of a WebSocket as the client wants. */
export class Socket {
  binaryType = "arraybuffer";
  readyState = CONNECTING;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;
  /** The server's name for it. */
  wire = null;
  #network;

  constructor(network) {
    this.#network = network;
    network.connect(this);
  }

  send(frame) {
    // The client's memory holds something else soon.
    if (this.readyState === OPEN) this.#network.send(this, frame.slice());
  }

  close() {
    this.readyState = CLOSED;
    this.#network.disconnect(this);
  }

  open() {
    this.readyState = OPEN;
    this.onopen?.(new Event("open"));
  }

  receive(frame) {
    if (this.readyState === OPEN) this.onmessage?.(new MessageEvent("message", { data: frame.buffer }));
  }

  end() {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.onclose?.(new Event("close"));
  }
}
