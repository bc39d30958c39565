import { build } from "esbuild";

await build({
  entryPoints: { chat: "src/chat.js", sw: "src/sw.js" },
  outdir: "dist/esbuild",
  bundle: true,
  minify: true,
  format: "esm",
  splitting: true,
});
