/** What is selected in the list of folders: kept for this tab and this login, so that a reload loses nothing. */
import { useState } from "react";

import { session } from "../../api/session";
import type { Folder } from "../../api/types";
import { offered } from "./offer";

const KEY = "cs-archiver.selected-folders";

export type Selection = ReadonlyMap<string, Folder>;

function load(): Selection {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as { login: string | null; folders: Folder[] } | null;
    return new Map(kept?.login === session.id() ? kept.folders.map((folder) => [folder.path, folder]) : []);
  } catch {
    return new Map(); // not written by this version
  }
}

function keep(selection: Selection) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ login: session.id(), folders: [...selection.values()] }));
  } catch {
    sessionStorage.removeItem(KEY); // too much for the browser: the selection ends with the page
  }
}

/** The selection as the list knows it now: without what cannot be archived any more. Pure. */
export function current(selection: Selection, shown: Folder[]): Selection {
  const now = new Map(shown.map((folder) => [folder.path, folder]));
  return new Map([...selection].flatMap(([path, folder]) => (offered(now.get(path) ?? folder) ? [[path, now.get(path) ?? folder] as const] : [])));
}

/** `shown`: the folders on the page. */
export function useSelection(shown: Folder[]) {
  const [kept, setKept] = useState(load);
  const change = (next: (old: Selection) => Selection) =>
    setKept((old) => {
      const changed = next(old);
      keep(changed);
      return changed;
    });
  return {
    selected: current(kept, shown),
    toggle: (folders: Folder[], on: boolean) =>
      change((old) => {
        const next = new Map(old);
        for (const folder of folders) {
          if (on && offered(folder)) next.set(folder.path, folder);
          else next.delete(folder.path);
        }
        return next;
      }),
    drop: (paths: string[]) => change((old) => new Map([...old].filter(([path]) => !paths.includes(path)))),
    clear: () => change(() => new Map()),
  };
}
