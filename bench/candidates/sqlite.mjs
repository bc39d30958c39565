// SQLite in a worker, as it has to be for files in OPFS: this is the page's side.
const worker = new Worker(new URL("./sqlite-worker.js", import.meta.url), { type: "module" });
const calls = new Map();
let last = 0;

worker.onmessage = ({ data: { id, value, error } }) => {
  const { done, failed } = calls.get(id);
  calls.delete(id);
  if (error === undefined) done(value);
  else failed(new Error(error));
};

function call(name, ...given) {
  return new Promise((done, failed) => {
    calls.set(++last, { done, failed });
    worker.postMessage({ id: last, name, given });
  });
}

export const open = () => call("open");
export const take = (page) => call("take", page);
export const latest = (conversation, limit) => call("latest", conversation, limit);
export const list = (limit) => call("list", limit);
export const write = (message) => call("write", message);
export const close = () => call("close");
export const memory = () => call("memory");
