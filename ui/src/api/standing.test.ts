import { expect, it } from "vitest";

import { stalledSince, stand } from "./standing";
import { summary } from "../test/samples";

const START = 1_000_000;

/** A job that nothing was heard of for so many seconds. */
function still(seconds: number, more: Parameters<typeof summary>[0] = {}) {
  const job = summary(more);
  return stalledSince(job, stand(undefined, job, START), START + seconds * 1000);
}

it("says so after a minute without new figures, and since when", () => {
  expect(still(59)).toBeNull();
  expect(still(60)).toBe(START);
});

it.each([
  ["figures that moved", { bytes_done: 31 }],
  ["another stage", { status: "verifying" as const }],
  ["another attempt", { attempt: 2 }],
])("begins anew with %s", (_, change) => {
  const first = stand(undefined, summary(), START);

  expect(stand(first, summary(change), START + 1)).toMatchObject({ since: START + 1 });
  expect(stand(first, summary({ eta_seconds: 99 }), START + 1)).toBe(first);
});

it.each([
  ["without figures", { bytes_done: null, stage_percent: null }],
  ["paused", { paused: true }],
  ["being cancelled", { cancelling: true }],
  ["waiting for something", { wait_reason: "The NAS is not mounted" }],
  ["through with its bytes, while they are checked", { status: "uploading" as const, bytes_done: 100, bytes_total: 100 }],
])("leaves a job alone that is %s", (_, job) => {
  expect(still(3600, job)).toBeNull();
});

it("is patient where figures come in steps", () => {
  expect(still(179, { status: "uploading" })).toBeNull();
  expect(still(180, { status: "uploading" })).toBe(START);
  const large = { status: "compressing", folder_size_bytes: 1e13 } as const; // 1 % are 100 GB
  expect(still(9999, large)).toBeNull();
  expect(still(10_000, large)).toBe(START);
});

it("calls nothing stalled that was never heard of", () => {
  expect(stalledSince(summary(), undefined, START)).toBeNull();
});
