import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = "http://127.0.0.1:8787";

export default defineConfig({
  plugins: [react()],
  // The package is a link to a folder beside this one, from which its hooks would not find React, nor this very one.
  resolve: { dedupe: ["react"] },
  // Pre-bundling would move the package's JavaScript away from the .wasm file it finds by `import.meta.url`.
  optimizeDeps: { exclude: ["tutti-sync"] },
  // For the same reason the development server would not serve the package by itself.
  server: {
    fs: { allow: [".", "../pkg"] },
    proxy: { "/api": server, "/sync": { target: server, ws: true } },
  },
  // A service worker keeps its address from one build to the next, and serves what is below it.
  worker: { format: "es", rolldownOptions: { output: { entryFileNames: "[name].js" } } },
  build: { target: "es2022", sourcemap: true },
});
