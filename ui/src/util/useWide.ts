import { useSyncExternalStore } from "react";

const query = window.matchMedia("(min-width: 1100px)");

function subscribe(listener: () => void) {
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
}

export function isWide(): boolean {
  return query.matches;
}

/** True where a table fits beside the rail; below, lists are cards. */
export function useWide(): boolean {
  return useSyncExternalStore(subscribe, isWide);
}
