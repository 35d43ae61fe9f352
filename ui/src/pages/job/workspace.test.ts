import { expect, it } from "vitest";

import { detail } from "../../test/samples";
import { workspaceFacts, workspaceOutcome } from "./workspace";

const request = { root: "workspace" as const, path: "shots/day 1", format: "zip", level: 5 };
const result = { seconds: 83, mb_per_s: 12.34, output_path: "day 1.zip", original_size: 2048, compressed_size: 1024, file_count: 3, volumes: 1 };
const pack = detail({ kind: "pack", status: "completed", request, result, keep_source: false });

it("never says of a pack that its source is kept when it is deleted, nor the reverse", () => {
  expect(workspaceOutcome(pack)).toEqual(["Packed in 1m 23s; the archive was tested and compared.", "The source folder is deleted. The archive contains all of it."]);
  expect(workspaceOutcome({ ...pack, keep_source: true })[1]).toBe("The original files are unchanged.");
  expect(workspaceOutcome({ ...pack, kept_count: 2 })[1]).toContain("2 files changed or were added meanwhile");
  expect(workspaceOutcome({ ...pack, kind: "compress", keep_source: true })[0]).toContain("Archived in 1m 23s");
});

it("says what a failure has touched", () => {
  const failed = { ...pack, status: "failed" as const, error_message: "Disk full." };
  expect(workspaceOutcome(failed)).toEqual(["Disk full.", "The original files are unchanged.", "Fix the cause, then retry."]);
  expect(workspaceOutcome({ ...failed, state_times: [{ status: "deleting_source", at: "2026-01-01T00:00:00Z", attempt: 1 }] })[1]).toContain("The archive is complete");
  expect(workspaceOutcome({ ...failed, request: { ...request, encrypted: true } })[2]).toContain("password");
});

it("lists what was asked for and what came of it", () => {
  expect(workspaceFacts(pack)).toEqual([
    ["From", "Workspace / shots/day 1"],
    ["To", "Workspace / day 1.zip"],
    ["Format", "zip"],
    ["Compression", "5"],
    ["Files", "3"],
    ["Original size", "2.00 KB"],
    ["Archive size", "1.00 KB"],
    ["Speed", "12.34 MB/s"],
  ]);
  expect(workspaceFacts(detail({ kind: "extract", request: null, result: null }))).toEqual([]);
});
