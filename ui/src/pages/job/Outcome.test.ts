import { expect, it } from "vitest";

import { detail } from "../../test/samples";
import { outcome } from "./Outcome";

const ended = { started_at: "2026-01-01T00:00:00Z", completed_at: "2026-01-01T00:01:23Z" };

it("begins with what became of the job", () => {
  expect(outcome(detail({ ...ended, status: "completed" }))[0]).toBe("Archived and proven in 1m 23s.");
  expect(outcome(detail({ ...ended, status: "failed", error_message: "Disk full." }))[0]).toBe("Disk full.");
  expect(outcome(detail({ status: "queued", wait_reason: null }))).toEqual(["Waiting for its turn."]);
});

it("says of a failed job that its source is safe, and of kept files that there are some", () => {
  expect(outcome(detail({ ...ended, status: "failed" }))).toContain("The source folder is untouched.");
  expect(outcome(detail({ ...ended, status: "completed", kept_count: 2 })).join(" ")).toContain("2 files changed or were added after the copy");
  expect(outcome(detail({ ...ended, status: "completed", keep_source: true })).join(" ")).toContain("The source is kept, as requested.");
});
