import { expect, it } from "vitest";

import type { Stats } from "../api/types";
import { KEPT, points, push, type Sample } from "./samples";

const stats = { cpu_usage: 5 } as Stats;

it("keeps the last samples only", () => {
  let samples: Sample[] = [];
  for (let at = 0; at < KEPT + 5; at += 1) samples = push(samples, at * 5000, stats);

  expect([samples.length, samples[0]?.at]).toEqual([KEPT, 25_000]);
});

it("draws no line through a time that nobody saw", () => {
  const samples = push(push([], 0, stats), 5000, stats);

  expect(push(samples, 5000 + 61_000, stats)).toHaveLength(1);
});

it("ends at the right edge, and never leaves the box", () => {
  expect(points([0, 50, 200], 119, 20, 100)).toBe("117,20 118,10 119,0");
});
