/** The words of the review before folders are archived: apart, because it is fetched when it opens. As in en.ts otherwise. */
import { about } from "../util/time";
import { bytes, count } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enReview = {
  title: (n: number) => `Archive ${plural(n, "folder", "folders")}`,
  intro: "Check what will happen, then start.",
  list: "Folders",
  goesTo: "Goes to",
  plan: "What will happen",
  total: (size: number, files: number) => `${bytes(size)} in ${plural(files, "file", "files")}`,
  estimate: (archive: number, seconds: number, folders: number) =>
    `${folders === 1 ? "The archive takes" : "The archives take"} about ${bytes(archive)} and ${about(seconds)}.`,
  estimating: "Estimating…",
  noEstimate: "There is no estimate at the moment.",
  spaceOk: (need: number, free: number) => `The largest folder needs ${bytes(need)} of staging space, and ${bytes(free)} is available.`,
  spaceLow: (need: number, free: number) =>
    `Not enough space: ${bytes(need)} needed, ${bytes(free)} available. The largest folder waits in the queue until space is free.`,
  deletes: (n: number) => (n === 1 ? "The source folder is emptied at the end" : `All ${plural(n, "source folder is", "source folders are")} emptied at the end`),
  deletesText: "Each file is deleted only after the archive is proven to be at the destination, and only if the file is unchanged since it was archived. A marker file stays.",
  keep: (n: number) => (n === 1 ? "Keep the source" : `Keep all ${plural(n, "source", "sources")}`),
  keepText: "Nothing is deleted on the NAS.",
  submit: (n: number) => `Archive ${plural(n, "folder", "folders")}`,
  busy: (done: number, all: number) => `Queuing ${done} of ${all}…`,
  done: (n: number) => `${plural(n, "folder is", "folders are")} in the queue.`,
  waiting: "An earlier job of this folder is still being cleaned up. This one is queued automatically afterwards.",
  failed: (failed: number, all: number) => `${plural(failed, "folder", "folders")} of ${all} could not be queued. The others are in the queue.`,
  allFailed: "Nothing was queued.",
  remove: (name: string) => `Remove ${name}`,
  toQueue: "Go to the queue",
  look: {
    title: "Contents",
    kinds: "File types",
    film: "Film and sound",
    quality: "Quality",
    rated: (label: string, files: number) => `${count(files)} × ${label}`,
    doubtful: (name: string, files: number) => `${plural(files, "media file", "media files")} in ${name} should be checked`,
    more: (files: number) => `${plural(files, "more media file", "more media files")} with warnings.`,
    unnamed: "A media file",
    films: "Media files",
    none: "none",
    noEnding: "no extension",
    otherEndings: "other types",
    media: (length: string, files: number) => `${length} in ${plural(files, "file", "files")}`,
    mediaUnknown: (files: number) => `${plural(files, "file", "files")} of unknown length`,
    mediaSome: (length: string, measured: number, files: number) => `${length} in the largest ${count(measured)} of ${plural(files, "file", "files")}`,
    refused: (name: string) => `${name} cannot be archived as it is`,
    changing: (name: string) => `${name} is changing right now`,
    first: (n: number, all: number) => `Only the first ${count(n)} of ${plural(all, "folder was", "folders were")} inspected. The totals below are of all of them.`,
    failed: (n: number) => `${plural(n, "folder", "folders")} could not be inspected.`,
    inside: (name: string) => `Inside ${name}`,
    byEnding: "By file type",
    largest: "Largest files",
    folders: "Folders",
    notes: "Kept beside the archive",
    hidden: "Names are hidden: you cannot browse NAS folders here.",
    holds: (files: number, size: number) => `${plural(files, "file", "files")}, ${bytes(size)}`,
  },
};

export const reviewText: typeof enReview = spoken(enReview);
