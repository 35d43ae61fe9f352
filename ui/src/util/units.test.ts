import { expect, it } from "vitest";

import values from "./units.json";
import { bytes, exactBytes, exactSize, parseSize, percent, rate, saved } from "./units";

it.each(values.size as [number, string][])("%d bytes are %s, as on the command line", (size, expected) => {
  expect(bytes(size)).toBe(expected);
});

it("never shows a part of a byte, or less than nothing", () => {
  expect([bytes(-1), bytes(0.9), bytes(1023.9), bytes(1024 ** 5 * 5000)]).toEqual(["0 B", "0 B", "1023 B", "5000.00 PB"]);
});

it("says exact numbers, rates and shares", () => {
  expect([exactBytes(1), exactBytes(1_234_567), rate(2048), percent(0.2912)]).toEqual(["1 byte", "1,234,567 bytes", "2.00 KB/s", "29\u00a0%"]);
});

it("tells how much was saved, and nothing when nothing was", () => {
  expect([saved(1000, 750), saved(1000, 1000), saved(1000, 1001), saved(null, 5), saved(0, 0)]).toEqual([0.25, null, null, null, null]);
});

it.each([
  [0, "0 B"],
  [1500, "1500 B"],
  [107374182, "102.4 MB"], // a tenth of a GB
  [1.25 * 1024 ** 4, "1.25 TB"],
  [10 * 1024 ** 3, "10 GB"],
  [100 * 1024 ** 2, "100 MB"],
  [2 ** 60, "1024 PB"],
])("%d bytes are written %s and read again", (size, written) => {
  expect([exactSize(size), parseSize(written)]).toEqual([written, size]);
});

it.each([
  ["1.5tb", 1.5 * 1024 ** 4],
  ["20 GiB", 20 * 1024 ** 3],
  ["7", 7],
  ["ten", null],
  ["-1 GB", null],
  ["", null],
])("the size %s is %s", (typed, size) => {
  expect(parseSize(typed)).toBe(size);
});
