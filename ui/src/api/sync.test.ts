import { beforeEach, expect, it, vi } from "vitest";

import { keys } from "./queries";
import { apply, queryClient } from "./sync";
import { detail, update } from "../test/samples";

beforeEach(() => queryClient.clear());

it("patches what is on the page, and never goes back to an older state", () => {
  queryClient.setQueryData(keys.job("job"), detail());

  apply([update({ version: 5, progress_percent: 50 })]);
  apply([update({ version: 4, progress_percent: 20 })]);

  expect(queryClient.getQueryData(keys.job("job"))).toMatchObject({ progress_percent: 50 });
});

it("reads a job again when it enters another state, because proofs and times come with it", async () => {
  vi.useFakeTimers();
  const again = vi.spyOn(queryClient, "invalidateQueries");
  queryClient.setQueryData(keys.job("job-2"), detail({ job_id: "job-2" }));

  apply([update({ job_id: "job-2", version: 6, status: "compressing" })]);
  await vi.advanceTimersByTimeAsync(300);

  expect(again.mock.calls.map(([filter]) => filter?.queryKey)).toContainEqual(keys.job("job-2"));
  vi.useRealTimers();
});
