import { expect, it } from "vitest";

import type { FileEntry } from "../../api/types";
import { carried, isTarget } from "./drag";

const chosen = new Map(["a/1", "a/2"].map((path) => [path, { path } as FileEntry]));

it("carries all that is chosen where the entry is among it, else the entry alone", () => {
  expect(carried("a/2", chosen)).toEqual(["a/1", "a/2"]);
  expect(carried("a/3", chosen)).toEqual(["a/3"]);
});

it("goes to other folders, never into what is carried", () => {
  expect(isTarget(["a/1"], "b")).toBe(true);
  expect(isTarget(["a/1"], "")).toBe(true);
  expect(isTarget(["a/1"], "a")).toBe(false);
  expect(isTarget(["a/b"], "a/b")).toBe(false);
  expect(isTarget(["a/b"], "a/b/c")).toBe(false);
  expect(isTarget(["a/b"], "a/bc")).toBe(true);
  expect(isTarget(["a"], "")).toBe(false);
});
