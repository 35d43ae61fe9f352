import { expect, it } from "vitest";

import { lines, roundTop } from "./samples";

const box = { width: 180, height: 20, now: 1_800_000, span: 1_800_000, gap: 30_000, top: 100 };

it("puts every value where its time is, and never leaves the box", () => {
  const points = [
    { at: -10_000, value: 1 }, // before the left edge
    { at: 1_780_000, value: 0 },
    { at: 1_790_000, value: 50 },
    { at: 1_801_000, value: 200 }, // a clock that is a little ahead
  ];

  expect(lines(points, box)).toEqual(["178,20 179,10 180,0"]);
});

it("draws no line through a time that nobody saw", () => {
  const at = [0, 10_000, 60_000, 70_000].map((time) => ({ at: time, value: 100 }));

  expect(lines(at, box)).toEqual(["0,0 1,0", "6,0 7,0"]);
  expect(lines([], box)).toEqual([]);
});

const MB = 1024 ** 2;

it.each([
  [0, MB],
  [700 * 1024, MB],
  [MB + 1, 2 * MB],
  [12 * MB, 20 * MB],
  [600 * MB, 1024 * MB],
  [3 * 1024 * MB, 5 * 1024 * MB],
])("a chart of up to %d ends at %d", (highest, top) => {
  expect(roundTop(highest, MB)).toBe(top);
});
