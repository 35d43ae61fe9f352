import { useSyncExternalStore } from "react";

function watched(pixels: number) {
  const query = window.matchMedia(`(min-width: ${pixels}px)`);
  const subscribe = (listener: () => void) => {
    query.addEventListener("change", listener);
    return () => query.removeEventListener("change", listener);
  };
  return { subscribe, matches: () => query.matches };
}

const forRows = watched(1000);
const forTable = watched(1100);
const forTree = watched(1280);

export const hasRows = forRows.matches;

/** True where a table of few columns fits beside the rail: folders and files stay rows on a small laptop. */
export function useRows(): boolean {
  return useSyncExternalStore(forRows.subscribe, forRows.matches);
}

/** True where a table fits beside the rail; below, lists are cards. */
export function useWide(): boolean {
  return useSyncExternalStore(forTable.subscribe, forTable.matches);
}

/** True where a tree of folders fits beside the table, too. */
export function useVeryWide(): boolean {
  return useSyncExternalStore(forTree.subscribe, forTree.matches);
}
