import { expect, it } from "vitest";

import type { FileEntry } from "../../api/types";
import { between } from "./offer";

const entries = ["a", "b", "c", "d"].map((path) => ({ path }) as FileEntry);
const [, b, , d] = entries as [FileEntry, FileEntry, FileEntry, FileEntry];

it("chooses everything between two entries, in either direction, and one alone where the other is not in sight", () => {
  expect(between(entries, "b", d).map(({ path }) => path)).toEqual(["b", "c", "d"]);
  expect(between(entries, "d", b).map(({ path }) => path)).toEqual(["b", "c", "d"]);
  expect(between(entries, "elsewhere", b)).toEqual([b]);
  expect(between(entries, null, b)).toEqual([b]);
});
