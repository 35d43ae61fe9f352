import { expect, it } from "vitest";

import type { Status } from "../api/types";
import { laneBar, stages } from "./job";

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

function told(status: Status, ...states: Status[]) {
  return { status, keep_source: false, state_times: states.map((state, index) => ({ status: state, at: at(index), attempt: 1 })) };
}

const word = (job: ReturnType<typeof told>) => stages(job).map((stage) => stage.state);

it.each<[string, ReturnType<typeof told>, string]>([
  ["waiting", told("queued", "queued"), "todo todo todo todo todo todo"],
  ["copying", told("copying", "queued", "copying"), "active todo todo todo todo todo"],
  ["between the lanes", told("compressed", "copying", "compressing", "verifying", "compressed"), "done done done todo todo todo"],
  ["failed while uploading", told("failed", "copying", "compressing", "verifying", "compressed", "uploading", "failed"), "done done done failed todo todo"],
  ["failed while waiting for the upload", told("failed", "copying", "compressing", "verifying", "compressed", "failed"), "done done done failed todo todo"],
  ["cancelled before anything", told("cancelled", "queued", "cancelled"), "stopped todo todo todo todo todo"],
  ["tried again", told("queued", "copying", "compressing", "queued"), "todo todo todo todo todo todo"],
  ["with the archive of an earlier attempt", told("uploading", "queued", "compressed", "uploading"), "done done done active todo todo"],
  ["completed", told("completed", "copying", "compressing", "verifying", "uploading", "upload_verifying", "deleting_source", "completed"), "done done done done done done"],
])("shows a job that is %s", (_, job, expected) => {
  expect(word(job).join(" ")).toBe(expected);
});

it("leaves the last stage out of a job that keeps its source", () => {
  expect(word({ ...told("completed", "copying", "completed"), keep_source: true }).at(-1)).toBe("skipped");
});

it("times a stage by its last entry and what came after", () => {
  const [copy, compress] = stages(told("compressing", "copying", "queued", "copying", "compressing"));

  expect([copy?.startedAt, copy?.endedAt]).toEqual(["2026-01-01T00:00:02.000Z", "2026-01-01T00:00:03.000Z"]);
  expect([compress?.startedAt, compress?.endedAt]).toEqual(["2026-01-01T00:00:03.000Z", null]);
});

it("draws a band, never a number, while there are no figures", () => {
  const job = { kind: "archive", progress_percent: 40 } as const;
  expect(laneBar({ ...job, status: "compressing", stage_percent: null, lane_percent: 50 })).toEqual({ kind: "indeterminate", from: 33, to: 66 });
  expect(laneBar({ ...job, status: "compressing", stage_percent: 50, lane_percent: 49 })).toEqual({ kind: "determinate", value: 49 });
  expect(laneBar({ ...job, status: "compressed", stage_percent: null, lane_percent: 100 })).toEqual({ kind: "determinate", value: 100 });
  expect(laneBar({ ...job, kind: "pack", status: "verifying", stage_percent: null, lane_percent: 80 })).toEqual({ kind: "determinate", value: 40 });
});
