/// <reference types="vitest/config" />
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** A .gz beside each text asset, so that the gateway compresses nothing at run time. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    closeBundle() {
      const folder = join(import.meta.dirname, "dist", "assets");
      for (const name of readdirSync(folder)) {
        if (!/\.(js|css|svg)$/.test(name)) continue;
        writeFileSync(join(folder, `${name}.gz`), gzipSync(readFileSync(join(folder, name)), { level: constants.Z_BEST_COMPRESSION }));
      }
    },
  };
}

/** A font that comes after the first text is for the next visit: exchanged at once, it would move what people read. */
function keepFirstFont(): Plugin {
  return {
    name: "keep-first-font",
    enforce: "pre",
    transform: (code, id) => (/fontsource.*\.css$/.test(id) ? code.replaceAll("font-display: swap", "font-display: optional") : undefined),
  };
}

const SHELL = join(import.meta.dirname, "src", "components", "Shell.tsx");

/** What the shell imports, icons apart: the whole of it is on every page. */
function inShell(context: { getModuleInfo(id: string): { importedIds: readonly string[] } | null }): ReadonlySet<string> {
  const found = new Set<string>();
  const walk = (id: string) => {
    for (const imported of context.getModuleInfo(id)?.importedIds ?? []) {
      if (found.has(imported) || imported.includes("lucide-react")) continue;
      found.add(imported);
      walk(imported);
    }
  };
  walk(SHELL);
  return found;
}

export default defineConfig({
  plugins: [react(), keepFirstFont(), precompress()],
  // The gateway puts a fresh nonce in its place for every answer (services/gateway/pages.py).
  html: { cspNonce: "__CSP_NONCE__" },
  build: {
    target: "es2023",
    assetsInlineLimit: 0, // the policy allows no data: fonts, and one way to serve is enough
    modulePreload: { polyfill: false },
    manifest: "manifest.json", // tests/ui/test_budget.py weighs each route by it
    reportCompressedSize: false,
    // Two files for what every page has, instead of forty: text packs better in one piece.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "entry", tags: ["$initial"], priority: 2 },
            { name: (id, context) => (inShell(context).has(id) ? "shell" : null), debugName: "shell", priority: 1 },
          ],
        },
      },
    },
  },
  server: {
    proxy: {
      "/api": "http://127.0.0.1:8000",
      "/ws": { target: "ws://127.0.0.1:8000", ws: true },
    },
  },
  test: {
    environment: "jsdom",
    setupFiles: ["src/test/setup.ts"],
    restoreMocks: true,
    testTimeout: 60_000, // of a loaded machine
    hookTimeout: 60_000,
    isolate: false, // one jsdom per worker instead of one per file: a third of the time
  },
});
