/** The words of the review before folders are archived: apart, because it is fetched when it opens. As in en.ts otherwise. */
import { bytes, count } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enReview = {
  title: (n: number) => `Archive ${plural(n, "folder", "folders")}`,
  intro: "Check what will happen, then start.",
  goesTo: "Goes to",
  summary: "In all",
  files: (n: number) => plural(n, "file", "files"),
  space: "Staging space",
  spaceOk: (need: number, free: number) => `The largest folder needs ${bytes(need)}; ${bytes(free)} are free.`,
  spaceLow: (need: number, free: number) =>
    `The largest folder needs ${bytes(need)}, but only ${bytes(free)} are free. It waits in the queue until there is room.`,
  deletes: "The source is emptied at the end",
  deletesText:
    "Only after the archive is proven to be at the destination: its files are deleted one by one, each only if it is still what was archived, and a marker file stays in the folder.",
  keep: "Keep the source",
  keepText: "Archive it, but leave the folder as it is.",
  submit: (n: number) => `Archive ${plural(n, "folder", "folders")}`,
  busy: (done: number, all: number) => `Queuing ${done} of ${all}…`,
  done: (n: number) => `${plural(n, "folder is", "folders are")} in the queue.`,
  waiting: "What an earlier job of this folder had begun is still being cleaned up. It goes on by itself in a moment.",
  failed: (failed: number, all: number) => `${plural(failed, "folder", "folders")} of ${all} could not be queued. The others are in the queue.`,
  allFailed: "Nothing was queued.",
  remove: (name: string) => `Leave ${name} out`,
  toQueue: "Go to the queue",
  look: {
    title: "What is in it",
    kinds: "Kinds",
    film: "Film and sound",
    archive: "Archive",
    time: "Time",
    none: "none",
    noEnding: "without ending",
    otherEndings: "other endings",
    about: (amount: string) => `about ${amount}`,
    media: (length: string, files: number) => `${length} in ${plural(files, "file", "files")}`,
    mediaUnknown: (files: number) => `${plural(files, "file", "files")} of unknown length`,
    mediaSome: (length: string, measured: number, files: number) => `${length} in the largest ${count(measured)} of ${plural(files, "file", "files")}`,
    refused: (name: string) => `${name} would be refused as it is`,
    changing: (name: string) => `${name} is changing right now`,
    first: (n: number) => `Only the first ${plural(n, "folder was", "folders were")} looked into.`,
    failed: (n: number) => `${plural(n, "folder", "folders")} could not be looked into.`,
    inside: (name: string) => `Inside ${name}`,
    byEnding: "By ending",
    largest: "Largest files",
    folders: "Folders",
    notes: "Kept beside the archive",
    hidden: "Names are left out: you may not look at NAS folders here.",
    holds: (files: number, size: number) => `${plural(files, "file", "files")}, ${bytes(size)}`,
  },
};

export const reviewText: typeof enReview = spoken(enReview);
