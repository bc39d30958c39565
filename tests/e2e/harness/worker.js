// What harness.js does in a page, in a dedicated worker.
import "./harness.js";

postMessage("ready");
