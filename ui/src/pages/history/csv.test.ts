import { expect, it } from "vitest";

import { summary } from "../../test/samples";
import { cell, toCsv } from "./csv";

it.each([
  ["plain", "plain"],
  ['say "hi", twice', '"say ""hi"", twice"'],
  ["two\nlines", '"two\nlines"'],
  ["=SUM(A1)", "'=SUM(A1)"],
  [null, ""],
  [5, "5"],
])("writes %j as %s", (value, expected) => {
  expect(cell(value)).toBe(expected);
});

it("has one line per job below the names of the columns", () => {
  const lines = toCsv([summary(), summary()]).trimEnd().split("\r\n");

  expect(lines).toHaveLength(3);
  expect(new Set(lines.map((line) => line.split(",").length))).toEqual(new Set([11]));
});
