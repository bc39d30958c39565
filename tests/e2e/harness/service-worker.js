// What harness.js does in a page, in a service worker: a page of the test tells it what to run.
import "./harness.js";

addEventListener("install", () => skipWaiting());
addEventListener("message", (event) => {
  const [port] = event.ports;
  event.waitUntil((0, eval)(event.data).then((result) => port.postMessage(result)));
});
