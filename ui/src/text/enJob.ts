/** The words of a job's page alone: its proofs, the release of its destination, its log. As in en.ts otherwise. */
import { count } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enJob = {
  proof: {
    title: "Proof of arrival",
    intro: "All three must hold before any file of the source may be deleted.",
    task: "Globus finished the transfer",
    taskText: "The task succeeded without a failed or skipped file, and it moved both the archive and its manifest.",
    remote: "The destination has the files",
    remoteText: "Archive and manifest are listed there with exactly the recorded sizes.",
    content: "Contents match",
    contentText: "Globus's checksum matches the local one. The files were also read a second time at the destination, and they match.",
    contentOnce: "Globus's checksum matches the local one. An administrator has switched off the second reading.",
    proven: "Proven",
    pending: "Not yet",
    never: "Not reached",
    voided: "No longer valid",
    evidence: "Evidence",
    at: (when: string) => `Recorded ${when}`,
    count: (n: number) => `${n} of 3 proven`,
    keys: {
      task_id: "Globus task",
      submission_id: "Submission",
      files_transferred: "Files transferred",
      files_skipped: "Files skipped (identical)",
      completion_time: "Finished at Globus",
      archive_size: "Archive at the destination",
      sidecar_size: "Manifest at the destination",
      archive: "Archive's checksum",
      sidecar: "Manifest's checksum",
      recheck_task_id: "Task of the second reading",
    } as Record<string, string>,
    values: { reported: "reported by Globus, matches the local checksum", enforced: "enforced by Globus during the move" } as Record<string, string>,
  },
  /** For administrators: a proven archive that was removed at the destination. */
  release: {
    ask: "Release the destination…",
    hint: "For administrators: if the archive was removed at the destination on purpose, release its path.",
    title: (name: string) => `Release the destination of ${name}?`,
    asks: "Globus is checked first. Nothing changes while the archive or its manifest is still there, or if the answer is unclear.",
    voids: "Afterwards the three proofs of this job are no longer valid, and a folder of this name can be archived again. The job and its log stay.",
    last: "This deletes nothing. But if the source was emptied and the archive is gone, no copy is left that CS Archiver knows of.",
    confirm: "Release",
    done: (name: string) => `The destination path of ${name} was released`,
    after: "The archive was later removed at the destination, and the destination path was released. The proofs are no longer valid.",
  },
  log: {
    title: "Log",
    search: "Find in the log",
    matches: (n: number) => plural(n, "match", "matches"),
    level: "Level",
    all: "All levels",
    INFO: "Info",
    WARNING: "Warnings",
    ERROR: "Errors",
    follow: "Follow",
    following: "Following",
    newLines: (n: number) => `${plural(n, "new line", "new lines")}`,
    wrap: "Wrap lines",
    download: "Download",
    empty: "No lines yet.",
    emptyFilter: "No line matches.",
    older: "Load older lines",
    lines: (shown: number, all: number) => (shown === all ? plural(all, "line", "lines") : `${count(shown)} of ${plural(all, "line", "lines")}`),
    region: "Job log",
    link: (time: string) => `Link to the line at ${time}`,
    gone: "The linked line is not among the lines shown here. Download the log to see all lines.",
  },
};

export const jobText: typeof enJob = spoken(enJob);
