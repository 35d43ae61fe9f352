/** Paths and names of files, as the pages need them. Pure. A path has no slash at either end; "" is the top. */
import type { FileEntry } from "../api/types";

const ARCHIVE = /\.(zip|7z|rar|tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst)(\.001)?$/i;
const ARCHIVE_ENDING = /(\.tar)?\.(zip|7z|rar|tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst)(\.001)?$/i;
const VIDEO = /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g|m2?ts|mxf|wmv|flv|3gp|ogv|vob)$/i;
const AUDIO = /\.(mp3|m4a|m4b|aac|flac|wav|ogg|oga|opus|wma|aiff?|ac3|dts|mka)$/i;
const PICTURE = /\.(jpe?g|png|gif|webp|avif|heic|tiff?|bmp|svg|psd|raw|dng)$/i;
/** The longest name a file system takes, in bytes. */
const LONGEST_NAME = 255;

export type Look = "folder" | "link" | "archive" | "video" | "audio" | "picture" | "other" | "file";

export function join(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Every folder from below the top down to the path itself. */
export function crumbs(path: string): { name: string; path: string }[] {
  const names = path.split("/").filter(Boolean);
  return names.map((name, index) => ({ name, path: names.slice(0, index + 1).join("/") }));
}

export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`) || folder === "";
}

export function isArchive(entry: Pick<FileEntry, "name" | "type">): boolean {
  return entry.type === "file" && ARCHIVE.test(entry.name);
}

export function isMedia(entry: Pick<FileEntry, "name" | "type">): boolean {
  return entry.type === "file" && (VIDEO.test(entry.name) || AUDIO.test(entry.name));
}

/** What can be looked at without saving it: every file of the workspace; of the NAS only what its services look into. */
export function isShown(entry: Pick<FileEntry, "name" | "type" | "reachable">, root: "workspace" | "nas"): boolean {
  return entry.type === "file" && entry.reachable && (root === "workspace" || isMedia(entry) || isArchive(entry));
}

export function lookOf(entry: Pick<FileEntry, "name" | "type">): Look {
  if (entry.type !== "file") return entry.type;
  if (ARCHIVE.test(entry.name)) return "archive";
  if (VIDEO.test(entry.name)) return "video";
  if (AUDIO.test(entry.name)) return "audio";
  return PICTURE.test(entry.name) ? "picture" : "file";
}

/** "film.tar.gz" -> "film": what its contents are called. */
export function stem(name: string): string {
  return name.replace(ARCHIVE_ENDING, "") || name;
}

export type NameFault = "empty" | "slash" | "dots" | "long";

/** Why a file cannot be called that; null: it can. */
export function nameFault(name: string): NameFault | null {
  if (!name.trim()) return "empty";
  if (name.includes("/")) return "slash";
  if (name === "." || name === "..") return "dots";
  return new TextEncoder().encode(name).length > LONGEST_NAME ? "long" : null;
}

/** What an archive of these files is called, without its ending: the one file's name, or the folder's. */
export function archiveStem(entries: Pick<FileEntry, "name" | "type">[], folder: string, fallback: string): string {
  const only = entries.length === 1 ? entries[0] : undefined;
  if (!only) return nameOf(folder) || fallback;
  const dot = only.name.lastIndexOf(".");
  return only.type === "file" && dot > 0 ? only.name.slice(0, dot) : only.name;
}
