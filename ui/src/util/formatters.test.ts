import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, it } from "vitest";

const SOURCES = join(import.meta.dirname, "..");
/** Only these write numbers with their units, times, counted nouns, and names of languages. */
const OWNERS = new Set([join("util", "units.ts"), join("util", "time.ts"), join("util", "language.ts"), join("text", "plural.ts")]);
const BY_HAND = [
  /\.toFixed\(/,
  /\.toLocale\w*String\(/,
  /\bIntl\./,
  /\$\{[^{}]*\}(?: |\u00a0)?(?:B|[KMGT]i?B|kB|s|ms)\b/, // a number and its unit in a template
  /\$\{[^{}]*\}(?: |\u00a0)(?:bytes?|files?|folders?|entr(?:y|ies)|jobs?|lines?|users?|seconds?|minutes?|hours?|days?|retr(?:y|ies))\b(?!\s*\$)/,
];
/** Nouns after a name, not after a number. */
const NAMES = ["${text.", "${folder", "${name"];

function byHand(): string[] {
  const files = readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).filter((file) => /\.tsx?$/.test(file) && !/\.test\.tsx?$|generated\.ts$/.test(file) && !OWNERS.has(file));
  return files.flatMap((file) =>
    readFileSync(join(SOURCES, file), "utf8")
      .split("\n")
      .filter((line) => !/^\s*(?:\/?\*|\/\/)/.test(line) && BY_HAND.some((pattern) => pattern.test(line)) && !NAMES.some((name) => line.includes(name)))
      .map((line) => `${file}: ${line.trim()}`),
  );
}

it("formats sizes, durations and counted nouns in one place each", () => {
  expect(byHand()).toEqual([]);
});
