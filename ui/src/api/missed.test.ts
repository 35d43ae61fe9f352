import { expect, it } from "vitest";

import { summarize } from "./missed";
import type { LiveMessage, Status } from "./types";

let seq = 0;
function entered(job: string, status: Status): LiveMessage {
  seq += 1;
  const rest = { kind: "archive", previous_status: null, attempt: 1, time: "2026-01-01T00:00:00Z", folder_name: "A", progress_percent: 0, reason: null } as const;
  return { type: "job_event", seq, job_id: job, version: seq, status, ...rest };
}

it("counts each job once, by its last state", () => {
  const events = [entered("a", "copying"), entered("b", "failed"), entered("a", "completed"), entered("b", "queued"), entered("c", "cancelled")];

  expect(summarize(events)).toEqual({ ended: 2, completed: 1, failed: 0, cancelled: 1 });
});
