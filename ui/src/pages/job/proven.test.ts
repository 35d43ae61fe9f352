import { expect, it } from "vitest";

import type { Verification } from "../../api/types";
import { isReleased, provenCount } from "./proven";

const row = (kind: Verification["kind"], voided: string | null = null): Verification => ({ kind, attempt: 1, at: "2026-01-01T00:00:00Z", evidence: {}, voided_at: voided });
const LATER = "2026-01-02T00:00:00Z";

it("counts each proof once, and only what was not voided", () => {
  expect(provenCount({ verifications: [] })).toBe(0);
  expect(provenCount({ verifications: [row("task"), row("remote"), row("content")] })).toBe(3);
  expect(provenCount({ verifications: [row("task", LATER), row("task"), row("remote", LATER)] })).toBe(1);
});

it("knows a place that was given up from one that never had an archive", () => {
  expect(isReleased({ status: "completed", verifications: [row("task", LATER), row("remote", LATER), row("content", LATER)] })).toBe(true);
  expect(isReleased({ status: "completed", verifications: [row("task"), row("remote"), row("content")] })).toBe(false);
  expect(isReleased({ status: "failed", verifications: [row("task", LATER)] })).toBe(false);
});
