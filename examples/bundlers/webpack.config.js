import { fileURLToPath } from "node:url";

export default {
  mode: "production",
  entry: "./src/chat.js",
  output: { path: fileURLToPath(new URL("dist/webpack", import.meta.url)), filename: "chat.js", clean: true },
};
