import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// Where the page is served from while it is developed, `tutti-server` is not.
const target = "http://127.0.0.1:8787";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": { target }, "/sync": { target, ws: true } } },
});
