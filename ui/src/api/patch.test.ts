import { expect, it } from "vitest";

import { missesJob, patchFolders, patchJob, patchQueue } from "./patch";
import type { JobUpdate } from "./types";
import { detail, folder, queued, summary, update } from "../test/samples";

it("takes the figures and keeps the rest", () => {
  const job = summary({ created_by: "jane" });

  const patched = patchJob(job, update({ progress_percent: 40, stage_percent: 12 }));

  expect(patched).toMatchObject({ progress_percent: 40, stage_percent: 12, created_by: "jane" });
});

it("gives the same object when nothing changed, so that nothing renders", () => {
  const job = summary();

  expect(patchJob(job, update())).toBe(job);
  expect(patchJob(job, update({ job_id: "other", progress_percent: 99 }))).toBe(job);
});

it("ignores an older attempt", () => {
  const job = summary({ attempt: 2 });

  expect(patchJob(job, update({ attempt: 1, progress_percent: 99 }))).toBe(job);
});

const updates = (...all: JobUpdate[]) => new Map(all.map((one) => [one.job_id, one]));

const QUEUE = {
  current_copy_compress_job: null,
  current_upload_job: null,
  queued_jobs: [queued({ job_id: "waits" })],
  active_jobs: [summary()],
  waiting_upload_jobs: [],
};

it("patches a job where it is", () => {
  const { queue, moved } = patchQueue(QUEUE, updates(update({ progress_percent: 21 })));

  expect(moved).toBe(false);
  expect(queue.active_jobs[0]?.progress_percent).toBe(21);
  expect(queue.queued_jobs).toBe(QUEUE.queued_jobs);
});

it.each([
  ["a job starts", update({ job_id: "waits", status: "copying" })],
  ["a job goes over to the upload", update({ status: "compressed" })],
  ["a job ends", update({ status: "completed" })],
  ["a new job comes", update({ job_id: "new", status: "queued" })],
])("asks for the queue again when %s", (_, message) => {
  expect(patchQueue(QUEUE, updates(message)).moved).toBe(true);
});

it("leaves the queue alone when a job that it does not have has ended", () => {
  const { queue, moved } = patchQueue(QUEUE, updates(update({ job_id: "gone", status: "failed" })));

  expect([queue, moved]).toEqual([QUEUE, false]);
  expect(queue).toBe(QUEUE);
});

it("shows why a job waits", () => {
  const { queue } = patchQueue(QUEUE, updates(update({ job_id: "waits", status: "queued", wait_reason: "space" })));

  expect(queue.queued_jobs[0]?.wait_reason).toBe("space");
});

it("shows a folder's job", () => {
  const folders = [folder({ job_id: "job", job_status: "queued" }), folder({ path: "/b" })];

  const patched = patchFolders(folders, updates(update()));

  expect(patched[0]?.job_status).toBe("copying");
  expect(patched[1]).toBe(folders[1]);
});

it.each([
  ["a job at work", QUEUE, [], [], "job"],
  ["a waiting job", QUEUE, [], [], "waits"],
  ["a folder's job", undefined, [folder({ job_id: "badge", job_status: "copying" })], [], "badge"],
  ["an open job", undefined, [], [detail({ job_id: "open" })], "open"],
])("notices %s that is live no more", (_, queue, folders, jobs, id) => {
  const others = new Set(["job", "waits", "badge", "open"]);
  expect(missesJob(others, queue, folders, jobs)).toBe(false);

  others.delete(id);

  expect(missesJob(others, queue, folders, jobs)).toBe(true);
});

it("expects nothing of what has ended", () => {
  const ended = detail({ status: "completed" });

  expect(missesJob(new Set(), undefined, [folder({ job_id: "job", job_status: "failed" })], [ended])).toBe(false);
});
