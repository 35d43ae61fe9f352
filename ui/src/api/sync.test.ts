import { QueryObserver } from "@tanstack/react-query";
import { beforeEach, expect, it, vi } from "vitest";

import { ApiError } from "./errors";
import { keys, POLL_MS, whileFailing } from "./queries";
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

it("reads again what is live on the page but not in a snapshot: it ended before we listened", () => {
  const again = vi.spyOn(queryClient, "invalidateQueries").mockResolvedValue();
  queryClient.setQueryData(keys.job("gone"), detail({ job_id: "gone" }));

  apply([{ type: "snapshot", seq: 7, job_ids: ["gone"] }]);
  expect(again).not.toHaveBeenCalled();
  apply([{ type: "snapshot", seq: 8, job_ids: [] }]);

  expect(again).toHaveBeenCalledOnce();
});

/** A read whose answers the test gives; how often it was asked. */
function reading<T>(queryKey: readonly unknown[]) {
  const answers: ((data: T) => void)[] = [];
  const observer = new QueryObserver<T>(queryClient, { queryKey, queryFn: () => new Promise<T>((answer) => answers.push(answer)) });
  return { answers, stop: observer.subscribe(() => {}) };
}

it("reads once more what was being read for the first time when its job entered another state", async () => {
  vi.useFakeTimers();
  const key = keys.job("slow");
  const { answers, stop } = reading(key);

  apply([update({ job_id: "slow", version: 8, status: "deleting_source" })]);
  apply([update({ job_id: "slow", version: 9, status: "completed" })]);
  await vi.advanceTimersByTimeAsync(300);
  expect(answers).toHaveLength(1);
  answers[0]?.(detail({ job_id: "slow", status: "deleting_source" }));
  await vi.advanceTimersByTimeAsync(0);
  expect(answers).toHaveLength(2);
  answers[1]?.(detail({ job_id: "slow", status: "completed" }));
  await vi.advanceTimersByTimeAsync(300);

  expect(answers).toHaveLength(2);
  expect(queryClient.getQueryData(key)).toMatchObject({ status: "completed" });
  stop();
  vi.useRealTimers();
});

it("compares with a snapshot also what was being read when it came", async () => {
  const { answers, stop } = reading(keys.job("over"));

  apply([{ type: "snapshot", seq: 9, job_ids: [] }]);
  answers[0]?.(detail({ job_id: "over", status: "deleting_source" }));

  await vi.waitFor(() => expect(answers).toHaveLength(2), { timeout: 30_000 });
  stop();
});

it("patches a job once per frame, with the last of its messages", () => {
  queryClient.setQueryData(keys.job("often"), detail({ job_id: "often" }));
  const writes = vi.fn();
  const stop = queryClient.getQueryCache().subscribe((event) => {
    if (event.type === "updated" && event.query.queryKey.at(1) === "often") writes();
  });

  apply([1, 2, 3].map((n) => update({ job_id: "often", version: 1, progress_percent: n })));
  stop();

  expect(writes).toHaveBeenCalledOnce();
  expect(queryClient.getQueryData(keys.job("often"))).toMatchObject({ progress_percent: 3 });
});

it("tries again by itself only after failures that may pass", () => {
  const after = [new ApiError("away", 503, "unavailable"), new ApiError("no such job", 404, "not-found"), null];

  expect(after.map((error) => whileFailing({ state: { error } }))).toEqual([POLL_MS, false, false]);
});
