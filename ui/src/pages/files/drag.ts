/** What a drag carries, and where it may be dropped. Pure. */
import type { FileEntry } from "../../api/types";
import { isWithin, parentOf } from "../../util/files";

/** Of an entry that is chosen all that is chosen; of another one only itself. */
export function carried(path: string, selected: ReadonlyMap<string, FileEntry>): string[] {
  return selected.has(path) ? [...selected.keys()] : [path];
}

/** Not the folder they are in, nor one that is carried or lies within it. */
export function isTarget(paths: string[], folder: string): boolean {
  return paths.some((path) => parentOf(path) !== folder) && !paths.some((path) => isWithin(folder, path));
}
