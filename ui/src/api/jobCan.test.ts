import { expect, it } from "vitest";

import { hasEnded, jobCan } from "./jobCan";

it("offers what the gateway would do, and not twice", () => {
  expect(jobCan.cancel({ status: "uploading" })).toBe(true);
  expect(jobCan.cancel({ status: "uploading", cancelling: true })).toBe(false);
  expect(jobCan.cancel({ status: "deleting_source" })).toBe(false);
  expect(jobCan.retry({ status: "failed" })).toBe(true);
  expect(jobCan.retry({ status: "cancelled" })).toBe(false);
  expect([hasEnded("completed"), hasEnded("verified")]).toEqual([true, false]);
});
