/** What this browser remembers about how its user likes things. One small store outside React; components read it by `usePreferences`. */
import { useSyncExternalStore } from "react";

export type Scheme = "system" | "light" | "dark";
export type Density = "comfortable" | "compact";
export type Zone = "local" | "utc";

export interface Preferences {
  scheme: Scheme;
  density: Density;
  zone: Zone;
  shortcuts: boolean;
}

const PREFIX = "cs-archiver.";
const CHOICES: { [K in keyof Preferences]: readonly [Preferences[K], ...Preferences[K][]] } = {
  scheme: ["system", "light", "dark"],
  density: ["comfortable", "compact"],
  zone: ["local", "utc"],
  shortcuts: [true, false],
};

function stored<K extends keyof Preferences>(key: K): Preferences[K] {
  const word = localStorage.getItem(PREFIX + key);
  return CHOICES[key].find((choice) => String(choice) === word) ?? CHOICES[key][0];
}

function read(): Preferences {
  return { scheme: stored("scheme"), density: stored("density"), zone: stored("zone"), shortcuts: stored("shortcuts") };
}

let current = read();
const listeners = new Set<() => void>();

function changed() {
  current = read();
  for (const listener of listeners) listener();
}

/** Other tabs follow at once. */
window.addEventListener("storage", (event) => {
  if (event.key === null || event.key.startsWith(PREFIX)) changed();
});

export function preferences(): Preferences {
  return current;
}

export function setPreference<K extends keyof Preferences>(key: K, value: Preferences[K]) {
  localStorage.setItem(PREFIX + key, String(value));
  changed();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, preferences);
}
