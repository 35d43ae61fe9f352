import { expect, it } from "vitest";

import { patchPacks } from "../../api/patch";
import type { JobSummary } from "../../api/types";
import { pack, summary, update } from "../../test/samples";
import { activeCount, done, running, trayTasks } from "./tray";

const job = (job_id: string, more: Partial<JobSummary> = {}) => summary({ job_id, kind: "pack", status: "running", ...more });

it("shows jobs of every kind as one list, newest first, counts what runs, and knows what a finished pack made", () => {
  const tasks = trayTasks(
    [pack({ id: "p" }), pack({ id: "done", status: "done", job_status: "completed", output_path: "x/a.zip", output_size: 5 })],
    [
      job("p", { created_at: "2026-01-02T00:00:00Z" }),
      job("done", { status: "completed" }),
      job("a", { kind: "archive", status: "uploading", created_at: "2026-01-04T00:00:00Z" }),
      job("j", { kind: "extract", status: "queued", created_at: "2026-01-03T00:00:00Z" }),
    ],
  );

  expect(tasks.map(({ id, word }) => [id, word])).toEqual([
    ["a", "packing"],
    ["j", "pending"],
    ["p", "packing"],
    ["done", "done"],
  ]);
  expect(activeCount(tasks)).toBe(3);
  expect(tasks.map(({ output, folder }) => [output, folder])).toEqual([
    [null, null],
    [null, null],
    [null, null],
    [{ name: "a.zip", size: 5, parts: 1, address: "/api/files/pack/done/download" }, "x"],
  ]);
  expect(tasks[2]?.reserved).toBe(100);
});

it("names what archives and extractions have made, and where", () => {
  const made = { status: "completed", output_size: 7 } as const;
  const tasks = trayTasks([], [
    summary({ ...made, job_id: "one", kind: "compress", output_path: "out/a.zip", output_files: 1, created_at: "2026-01-03T00:00:00Z" }),
    summary({ ...made, job_id: "parts", kind: "compress", output_path: "a.7z.001", output_files: 3, created_at: "2026-01-02T00:00:00Z" }),
    summary({ ...made, job_id: "unpacked", kind: "extract", output_path: "", output_files: 9, created_at: "2026-01-01T00:00:00Z" }),
  ]);
  expect(tasks.map(({ output, folder }) => [output, folder])).toEqual([
    [{ name: "a.zip", size: 7, parts: 1, address: "/api/files/content?path=out%2Fa.zip" }, "out"],
    [{ name: "a.7z.001", size: 7, parts: 3, address: "/api/files/content?path=a.7z.001" }, ""],
    [null, ""],
  ]);
});

it("tells of what is done since the last look, and not of what failed, was cancelled or had ended before", () => {
  const before = trayTasks([], [job("a"), job("b"), job("c")]);
  const after = trayTasks([], [job("a", { status: "completed" }), job("b", { status: "failed" }), job("c", { status: "cancelled" }), job("old", { status: "completed" })]);

  expect(done(running(before), after).map(({ id }) => id)).toEqual(["a"]);
  expect(done(running(after), after)).toEqual([]);
});

it("moves a pack with the live messages, and never one that has ended", () => {
  const packs = [pack({ id: "p" }), pack({ id: "done", status: "done", job_status: "completed" })];
  const updates = new Map(["p", "done"].map((id) => [id, update({ job_id: id, kind: "pack", status: "verifying", progress_percent: 70, current_operation: "Testing" })]));
  const moved = patchPacks(packs, updates);

  expect(moved[0]).toMatchObject({ status: "packing", job_status: "verifying", progress: 70, message: "Testing" });
  expect(moved[1]).toBe(packs[1]);
  expect(patchPacks(moved, updates)).toBe(moved);
});
