/** What counts of the proofs of arrival. Pure. */
import type { JobDetail, Verification } from "../../api/types";

export const KINDS = ["task", "remote", "content"] as const;

/** The newest row of each kind that still counts; else the newest that did once. */
export function newest(all: Verification[], kind: Verification["kind"]): Verification | undefined {
  const rows = all.filter((row) => row.kind === kind);
  return rows.findLast((row) => row.voided_at === null) ?? rows.at(-1);
}

/** How many of the three count now. */
export function provenCount({ verifications }: Pick<JobDetail, "verifications">): number {
  return KINDS.filter((kind) => newest(verifications, kind)?.voided_at === null).length;
}

/** Archived and proven once, but the archive's place was given up since. */
export function isReleased({ status, verifications }: Pick<JobDetail, "status" | "verifications">): boolean {
  return status === "completed" && verifications.length > 0 && provenCount({ verifications }) === 0;
}
