import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { parseSync } from "vite";
import { expect, it } from "vitest";

import { en } from "./en";
import { pseudo } from "./pseudo";

const SOURCES = join(import.meta.dirname, "..");
/** What a screen reader says or a page shows, when it stands in an attribute. */
const SPOKEN = /^(aria-label|aria-valuetext|alt|label|placeholder|title)$/;
const LETTERS = /\p{L}{2,}/u;
const SENTENCE = /^\p{Lu}\p{Ll}+ \p{Ll}+/u;
/** Keys of a keyboard have these names everywhere. */
const KEYS = new Set(["Ctrl K"]);

interface Node {
  type: string;
  value?: unknown;
  name?: { name?: string };
}

/** Words written into a file: text between tags, spoken attributes, and anything that begins like a sentence. */
function words(file: string): string[] {
  const found: string[] = [];
  const visit = (node: unknown) => {
    if (Array.isArray(node)) for (const item of node) visit(item);
    if (typeof node !== "object" || node === null || Array.isArray(node)) return;
    const { type, value, name } = node as Node;
    if (type === "JSXText" && typeof value === "string" && LETTERS.test(value)) found.push(value.trim());
    if (type === "Literal" && typeof value === "string" && SENTENCE.test(value)) found.push(value);
    if (type === "JSXAttribute" && SPOKEN.test(String(name?.name)) && LETTERS.test(String((value as Node | null)?.value ?? ""))) found.push(String((value as Node).value));
    for (const part of Object.values(node)) visit(part);
  };
  visit(parseSync(file, readFileSync(join(SOURCES, file), "utf8")).program);
  return found.filter((word) => !KEYS.has(word)).map((word) => `${file}: ${word}`);
}

it("finds every word of the app in one table", () => {
  const files = readdirSync(SOURCES, { recursive: true, encoding: "utf8" });
  const code = files.filter((file) => /\.tsx?$/.test(file) && !/\.test\.tsx?$|^test\/|^text\/|generated\.ts$/.test(file));

  expect(code.length).toBeGreaterThan(50);
  expect(code.flatMap(words)).toEqual([]);
});

it("makes every text longer, also those with values", () => {
  const table = pseudo(en);

  expect(table.nav.queue).toBe("Qüëüë~~");
  expect(table.cancel.title("A")).toBe("Çáñçël árçhïvïñg Å?~~~~~~~~");
  expect(Object.keys(table.folders.ignored)).toEqual(Object.keys(en.folders.ignored));
});
