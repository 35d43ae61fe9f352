import { expect, it } from "vitest";

import { summary } from "../test/samples";
import { fresh, type Known } from "./failures";

const failed = (job_id: string, minute: number) => summary({ job_id, status: "failed", completed_at: `2026-01-01T00:0${minute}:00Z` });
const names = ([, jobs]: [Known, { job_id: string }[]]) => jobs.map((job) => job.job_id);

it("tells nothing of what had failed before the first look", () => {
  expect(names(fresh(null, [failed("a", 1)]))).toEqual([]);
});

it("tells each failure once, and once more when the job was tried again", () => {
  const [first] = fresh(null, [failed("a", 1)]);
  const second = fresh(first, [failed("b", 2), failed("c", 3), failed("a", 1)]);

  expect(names(second)).toEqual(["c", "b"]);
  expect(names(fresh(second[0], [failed("b", 2), failed("c", 3)]))).toEqual([]);
  expect(names(fresh(second[0], [failed("b", 4)]))).toEqual(["b"]);
});

it("does not tell an older failure that comes into a full list when another was dismissed", () => {
  const [first] = fresh(null, [failed("a", 5)]);

  expect(names(fresh(first, [failed("old", 1)]))).toEqual([]);
});
