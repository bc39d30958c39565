// The package's entry. The client itself is WebAssembly; this file adds what must work before that is
// loaded: `init`, and a clear answer to whoever forgot it.
import load, { SyncClient, setErrorClass } from "./wasm/tutti_sync.js";
import { mirrorAlerts } from "./alerts.js";
import { SyncError } from "./error.js";

let loading = null;
let ready = false;

export default function init(module) {
  loading ??= load(module === undefined ? undefined : { module_or_path: module }).then(
    (exports) => {
      setErrorClass(SyncError);
      ready = true;
      return exports;
    },
    (cause) => {
      loading = null; // the next call tries again
      throw new SyncError("unsupported", `the WebAssembly module did not load: ${cause?.message ?? cause}`, true);
    },
  );
  return loading;
}

const open = SyncClient.open;
SyncClient.open = async (options) => {
  if (!ready) throw new SyncError("invalid", "call and await init() before SyncClient.open()");
  const client = await open(options);
  mirrorAlerts(client);
  return client;
};

export { SyncClient, SyncError };
