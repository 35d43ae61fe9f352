import { expect, it } from "vitest";

import { about, ago, duration, secondsBetween } from "./time";
import values from "./units.json";

it.each(values.duration as [number, string][])("%d seconds are %s, as on the command line", (seconds, expected) => {
  expect(duration(seconds)).toBe(expected);
});

it.each(values.about as [number, string][])("an estimate of %d seconds is %s", (seconds, expected) => {
  expect(about(seconds)).toBe(expected);
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

it("says a duration in more units where asked for", () => {
  expect([duration(4398, 3), duration(4398)]).toEqual(["1h 13m 18s", "1h 13m"]);
});
