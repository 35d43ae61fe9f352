import { expect, it } from "vitest";

import { ago, duration, secondsBetween } from "./time";

it.each([
  [0, "0s"],
  [0.2, "<1s"],
  [59, "59s"],
  [60, "1m"],
  [3723, "1h 2m"],
  [3600, "1h"],
  [90_061, "1d 1h"],
])("%d seconds are %s", (seconds, expected) => {
  expect(duration(seconds)).toBe(expected);
});

const NOW = Date.parse("2026-11-21T12:00:00Z");

it.each([
  ["2026-11-21T11:59:30Z", "just now"],
  ["2026-11-21T11:57:00Z", "3 minutes ago"],
  ["2026-11-20T11:00:00Z", "yesterday"],
  ["2024-01-01T00:00:00Z", "3 years ago"],
])("%s is %s", (iso, expected) => {
  expect(ago(iso, NOW)).toBe(expected);
});

it("counts to now while there is no end", () => {
  expect(secondsBetween("2026-11-21T11:59:00Z", null, NOW)).toBe(60);
});
