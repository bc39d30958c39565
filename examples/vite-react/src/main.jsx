import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.jsx";

// Whose chat with whom: /?me=anna&to=ben
const query = new URLSearchParams(location.search);

createRoot(document.querySelector("#root")).render(
  <StrictMode>
    <App me={query.get("me") ?? "anna"} to={query.get("to") ?? "ben"} />
  </StrictMode>,
);
