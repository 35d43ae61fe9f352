import { expect, it } from "vitest";

import type { JobLogLine } from "../../api/types";
import { append, MOST_LINES } from "./useLog";

const line = (id: number): JobLogLine => ({ id, timestamp: "2026-01-01T00:00:00Z", level: "INFO", message: `${id}`, action: "a", data: null });

it("adds only what is new, and counts it", () => {
  const log = { lines: [line(1), line(2)], total: 2 };

  expect(append(log, [line(2), line(3)])).toEqual({ lines: [line(1), line(2), line(3)], total: 3 });
  expect(append(log, [line(2)])).toBe(log);
});

it("forgets the oldest beyond what a page can bear", () => {
  const full = { lines: Array.from({ length: MOST_LINES }, (_, index) => line(index + 1)), total: MOST_LINES };

  const { lines, total } = append(full, [line(MOST_LINES + 1)]);

  expect([lines.length, lines[0]?.id, total]).toEqual([MOST_LINES, 2, MOST_LINES + 1]);
});
