import { expect, it } from "vitest";

import { patchPacks } from "../../api/patch";
import { pack, summary, update } from "../../test/samples";
import { activeCount, ended, running, trayTasks } from "./tray";

it("shows packs and other tasks as one list, newest first, and counts what runs", () => {
  const tasks = trayTasks(
    [pack({ id: "p", created_at: "2026-01-02T00:00:00Z" }), pack({ id: "done", status: "done", job_status: "completed", output_path: "x/a.zip", output_size: 5 })],
    [summary({ job_id: "j", kind: "extract", status: "queued", created_at: "2026-01-03T00:00:00Z" })],
  );

  expect(tasks.map(({ id, kind, word }) => [id, kind, word])).toEqual([
    ["j", "extract", "pending"],
    ["p", "pack", "packing"],
    ["done", "pack", "done"],
  ]);
  expect(activeCount(tasks)).toBe(2);
  expect(tasks[2]?.output).toEqual({ name: "a.zip", size: 5 });
  expect(tasks[1]?.output).toBeNull();
});

it("tells of what ended since the last look, and not of what was cancelled or had ended before", () => {
  const before = trayTasks([pack({ id: "a" }), pack({ id: "b" }), pack({ id: "c" })], []);
  const after = trayTasks(
    [
      pack({ id: "a", status: "done", job_status: "completed" }),
      pack({ id: "b", status: "failed", job_status: "failed", error_message: "The disk is full." }),
      pack({ id: "c", status: "cancelled", job_status: "cancelled" }),
      pack({ id: "old", status: "done", job_status: "completed" }),
    ],
    [],
  );

  expect(ended(running(before), after).map(({ id }) => id)).toEqual(["a", "b"]);
  expect(ended(running(after), after)).toEqual([]);
});

it("moves a pack with the live messages, and never one that has ended", () => {
  const packs = [pack({ id: "p" }), pack({ id: "done", status: "done", job_status: "completed" })];
  const updates = new Map(["p", "done"].map((id) => [id, update({ job_id: id, kind: "pack", status: "verifying", progress_percent: 70, current_operation: "Testing" })]));
  const moved = patchPacks(packs, updates);

  expect(moved[0]).toMatchObject({ status: "packing", job_status: "verifying", progress: 70, message: "Testing" });
  expect(moved[1]).toBe(packs[1]);
  expect(patchPacks(moved, updates)).toBe(moved);
});
