/** What the parts of the file pages hand each other. */
import type { FileQuery, RootName, Sort } from "../../api/files";
import type { FileEntry } from "../../api/types";

/** What is asked about entries; one at a time. */
export type Question =
  | { about: "folder" }
  | { about: "rename" | "pack" | "extract" | "contents" | "media"; entry: FileEntry }
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
  onSort: (sort: Sort) => void;
  onOpen: (entry: FileEntry) => void;
  onMenu: (menu: MenuPlace) => void;
}
