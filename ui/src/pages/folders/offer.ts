import type { FolderQuery } from "../../api/queries";
import type { Folder } from "../../api/types";

export const SORTS = ["path", "name", "size", "modified", "files"] as const satisfies readonly FolderQuery["sort"][];
export type Sort = (typeof SORTS)[number];

/** True when the folder can be archived now: nothing speaks against it and no job has it. */
export function offered(folder: Folder): boolean {
  return !folder.is_archived && folder.ignored === null && folder.job_id === null;
}

export interface ListProps {
  folders: Folder[];
  asked: FolderQuery;
  selected: ReadonlyMap<string, Folder>;
  onToggle: (folders: Folder[], on: boolean) => void;
  onSort: (sort: Sort) => void;
  onArchive: (folder: Folder) => void;
  onLevel: (level1: string, level2: string | null) => void;
}
