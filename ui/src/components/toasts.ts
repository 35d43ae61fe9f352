/** Short messages at the edge of the page. One store; `toast(...)` may be called from anywhere. */
import type { AlertColor } from "@mui/material/Alert";
import { useSyncExternalStore } from "react";

export interface Toast {
  id: number;
  message: string;
  severity: AlertColor;
  /** Takes back what the message tells. */
  undo?: () => unknown;
  actions: ToastAction[];
}

export interface ToastAction {
  label: string;
  run: () => unknown;
}

const SHOWN_MS = 6000;
const SHOWN_UNDO_MS = 8000;
const SHOWN_ERROR_MS = 12_000;
let toasts: Toast[] = [];
let last = 0;
const listeners = new Set<() => void>();

function set(next: Toast[]) {
  toasts = next;
  for (const listener of listeners) listener();
}

export function dismiss(id: number) {
  set(toasts.filter((shown) => shown.id !== id));
}

export function toast(message: string, severity: AlertColor = "success", undo?: () => unknown, actions: ToastAction[] = []) {
  last += 1;
  const id = last;
  set([...toasts.slice(-3), { id, message, severity, undo, actions }]);
  window.setTimeout(() => dismiss(id), severity === "error" ? SHOWN_ERROR_MS : undo ? SHOWN_UNDO_MS : SHOWN_MS);
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

function current() {
  return toasts;
}

export function useToasts(): Toast[] {
  return useSyncExternalStore(subscribe, current);
}
