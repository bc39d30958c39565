import resolve from "@rollup/plugin-node-resolve";

export default {
  input: { chat: "src/chat.js", sw: "src/sw.js" },
  output: { dir: "dist/rollup", chunkFileNames: "[name].js" },
  plugins: [resolve()],
};
