/**
 * Whether this browser is logged in. The login itself is a cookie that scripts cannot read; what is kept here is only the fact, so
 * that a page knows at once where to go. One small store outside React; logging out in one tab logs out all.
 */
import { useSyncExternalStore } from "react";

const KEY = "cs-archiver.login";
const listeners = new Set<() => void>();

function announce() {
  for (const listener of listeners) listener();
}

window.addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) announce();
});

export const session = {
  /** Names this login; null: there is none. */
  id: () => localStorage.getItem(KEY),
  begin() {
    localStorage.setItem(KEY, new Date().toISOString());
    announce();
  },
  end() {
    if (localStorage.getItem(KEY) === null) return;
    localStorage.removeItem(KEY);
    announce();
  },
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  },
};

export function useLogin(): string | null {
  return useSyncExternalStore(session.subscribe, session.id);
}
