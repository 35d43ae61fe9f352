/** What the parts of the file pages hand each other, and the choice of a range. Pure. */
import type { FileQuery, RootName, Sort } from "../../api/files";
import type { FileEntry } from "../../api/types";

/** What is asked about entries; one at a time. */
export type Question =
  | { about: "folder" }
  | { about: "preview" | "rename" | "pack" | "extract" | "contents" | "media"; entry: FileEntry }
  | { about: "move" | "delete" | "archive"; entries: FileEntry[] };

export interface Place {
  root: RootName;
  /** The open folder. */
  path: string;
}

export interface MenuPlace {
  entry: FileEntry;
  /** The button; absent when the pointer opened it. */
  anchor?: HTMLElement;
  at?: { top: number; left: number };
}

export interface ListProps {
  entries: FileEntry[];
  asked: FileQuery;
  selected: ReadonlyMap<string, FileEntry>;
  onToggle: (entries: FileEntry[], on: boolean) => void;
  /** `range`: everything from the one touched last to this one. */
  onPick: (entry: FileEntry, on: boolean, range: boolean) => void;
  /** This one, and nothing else. */
  onOnly: (entry: FileEntry) => void;
  onSort: (sort: Sort) => void;
  onOpen: (entry: FileEntry) => void;
  onMenu: (menu: MenuPlace) => void;
}

/** From the entry touched last to this one, in the order of the list; this one alone where the other is not in sight. */
export function between(entries: FileEntry[], last: string | null, entry: FileEntry): FileEntry[] {
  const from = entries.findIndex((item) => item.path === last);
  const to = entries.findIndex((item) => item.path === entry.path);
  return from < 0 || to < 0 ? [entry] : entries.slice(Math.min(from, to), Math.max(from, to) + 1);
}
