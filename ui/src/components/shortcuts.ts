/** Keys. Single letters do nothing while one types, and can be turned off; none of them deletes anything. */
import { useEffect, useRef } from "react";
import { useNavigate } from "react-router";

import { preferences } from "../theme/preferences";
import { paths } from "../util/paths";

export type Opened = "palette" | "keys" | null;

const GOTO: Record<string, () => string> = { d: paths.dashboard, f: paths.folders, w: paths.files, q: paths.queue, h: paths.history, s: paths.settings };
const CHORD_MS = 1200;

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) && !isCheckbox(target);
}

function isCheckbox(target: HTMLElement): boolean {
  return target instanceof HTMLInputElement && target.type === "checkbox";
}

function dialogOpen(): boolean {
  return document.querySelector('[role="dialog"], [role="menu"]') !== null;
}

/** A key that is a shortcut now: not typed into something, no dialog above the page, no modifier. */
export function plainKey(event: KeyboardEvent): string | null {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return null;
  if (!preferences().shortcuts || isTyping(event.target) || dialogOpen()) return null;
  return event.key;
}

export function useGlobalKeys(open: (what: Opened) => void) {
  const navigate = useNavigate();
  const chord = useRef(0);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        open("palette");
        return;
      }
      const key = plainKey(event);
      if (key === null) return;
      const target = GOTO[key];
      if (target && Date.now() - chord.current < CHORD_MS) {
        event.preventDefault();
        chord.current = 0;
        void navigate(target());
      } else if (key === "g") {
        chord.current = Date.now();
      } else if (key === "?") {
        open("keys");
      } else if (key === "/") {
        const field = document.querySelector<HTMLInputElement>("input[data-search]");
        if (field) {
          event.preventDefault();
          field.focus();
          field.select();
        }
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [navigate, open]);
}

function named(row: HTMLElement | undefined): string | null {
  return row?.dataset["row"] ?? null;
}

const SAME: Record<string, string> = { ArrowDown: "j", ArrowUp: "k", " ": "x", Enter: "o" };

/**
 * j and k move between the rows of a list ([data-row]); the browser's focus is the cursor. On a row itself the arrows, Space and Enter do
 * what one expects; with Shift the arrows choose as they go. `onKey` gets the other keys ("X": choose up to this row).
 */
export function useListKeys(onKey: (key: string, row: string | null) => boolean) {
  const handler = useRef(onKey);
  useEffect(() => {
    handler.current = onKey;
  });
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      const pressed = plainKey(event);
      if (pressed === null) return;
      const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")];
      const at = rows.findIndex((row) => row.contains(document.activeElement));
      if (pressed in SAME && rows[at] !== document.activeElement) return; // they belong to the button or link that has the focus
      const key = SAME[pressed] ?? pressed;
      if (key === "j" || key === "k") {
        const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + (key === "j" ? 1 : -1)))];
        if (event.shiftKey) handler.current("X", named(rows[at]));
        next?.focus();
        next?.scrollIntoView({ block: "nearest" });
        if (event.shiftKey) handler.current("X", named(next));
        event.preventDefault();
      } else if (handler.current(key, named(rows[at]))) {
        event.preventDefault();
      }
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}
