/**
 * Entries dragged onto a folder are moved there: onto its row or card, its place in the tree, or a folder above in the breadcrumbs. The
 * dialog "Move" does the same without a pointer. It draws nothing but what is carried and the place it would go to.
 */
import GlobalStyles from "@mui/material/GlobalStyles";
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";

import { fromThrown } from "../../api/errors";
import { moveFile } from "../../api/files";
import { keys } from "../../api/queries";
import type { FileEntry } from "../../api/types";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { lookText } from "../../text/enLook";
import { join, nameOf, parentOf } from "../../util/files";
import { carried, isTarget } from "./drag";
import { eachInTurn } from "./eachInTurn";

const TYPE = "application/x-cs-archiver-entries";
const words = lookText.drag;

interface Props {
  entries: FileEntry[];
  selected: ReadonlyMap<string, FileEntry>;
  /** After something has left its folder. */
  onGone: () => void;
}

/** Move each; returns the paths that have a new place, old and new. */
async function moveAll(paths: string[], folder: (path: string) => string): Promise<{ moved: [string, string][]; why: string | null; failed: number }> {
  const moved: [string, string][] = [];
  try {
    const { failures } = await eachInTurn(paths, async (path) => {
      const to = join(folder(path), nameOf(path));
      await moveFile(path, to);
      moved.push([path, to]);
    });
    return { moved, why: failures[0]?.message ?? null, failed: failures.length };
  } catch (thrown) {
    return { moved, why: fromThrown(thrown).message, failed: 1 };
  }
}

async function drop(paths: string[], folder: string, client: QueryClient, onGone: () => void) {
  const again = () => client.invalidateQueries({ queryKey: keys.files });
  const { moved, why, failed } = await moveAll(paths, () => folder);
  if (why !== null) toast(words.failed(failed, why), "error");
  if (moved.length > 0) {
    const back = async () => {
      const from = new Map(moved.map(([old, now]) => [now, parentOf(old)]));
      const returned = await moveAll([...from.keys()], (path) => from.get(path) ?? "");
      if (returned.why !== null) toast(words.failed(returned.failed, returned.why), "error");
      if (returned.moved.length > 0) toast(words.undone(returned.moved.length));
      await again();
    };
    toast(words.done(moved.length, folder || text.top.workspace), "success", () => void back());
    onGone();
  }
  await again();
}

/** The folder that an element stands for. */
function folderAt(target: EventTarget | null): { element: HTMLElement; folder: string } | null {
  const element = target instanceof Element ? target.closest<HTMLElement>("[data-into]") : null;
  return element ? { element, folder: element.dataset["into"] ?? "" } : null;
}

/** What the pointer carries: the name, or how many. */
function label(of: string): HTMLElement {
  const box = document.createElement("div");
  box.textContent = of;
  box.className = "carried";
  document.body.append(box);
  window.setTimeout(() => box.remove()); // the browser has taken its picture by then
  return box;
}

export default function DragMove(props: Props) {
  const client = useQueryClient();
  const now = useRef(props);
  useEffect(() => {
    now.current = props;
  });
  useEffect(() => {
    let paths: string[] = [];
    let over: HTMLElement | null = null;
    const mark = (element: HTMLElement | null) => {
      if (element === over) return;
      over?.removeAttribute("data-over");
      element?.setAttribute("data-over", "");
      over = element;
    };
    const end = () => {
      mark(null);
      paths = [];
    };
    const start = (event: DragEvent) => {
      const row = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-row][draggable=true]") : null;
      if (!row || !event.dataTransfer) return;
      const { entries, selected } = now.current;
      paths = carried(row.dataset["row"] ?? "", selected);
      const first = entries.find((entry) => entry.path === paths[0])?.name ?? nameOf(paths[0] ?? "");
      event.dataTransfer.clearData(); // a link's address and the like: nothing else may be dropped anywhere
      event.dataTransfer.setData(TYPE, String(paths.length));
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setDragImage(label(words.carried(paths.length, first)), -12, -8);
    };
    const dragOver = (event: DragEvent) => {
      if (paths.length === 0 || !event.dataTransfer) return;
      const at = folderAt(event.target);
      const fits = at !== null && isTarget(paths, at.folder);
      mark(fits ? at.element : null);
      if (!fits) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "move";
    };
    const dropped = (event: DragEvent) => {
      const at = folderAt(event.target);
      const chosen = paths;
      if (chosen.length === 0) return;
      end();
      if (!at || !isTarget(chosen, at.folder)) return;
      event.preventDefault();
      void drop(chosen, at.folder, client, now.current.onGone);
    };
    const listeners = { dragstart: start, dragenter: dragOver, dragover: dragOver, drop: dropped, dragend: end } as const;
    for (const [name, listener] of Object.entries(listeners)) window.addEventListener(name, listener as EventListener);
    return () => {
      end();
      for (const [name, listener] of Object.entries(listeners)) window.removeEventListener(name, listener as EventListener);
    };
  }, [client]);
  return (
    <GlobalStyles
      styles={{
        "[data-over]": { outline: "2px solid var(--mui-palette-primary-main) !important", outlineOffset: "-2px !important", backgroundColor: "color-mix(in srgb, var(--mui-palette-primary-main) 14%, transparent) !important" },
        ".carried": {
          position: "fixed",
          top: -1000,
          padding: "6px 12px",
          borderRadius: 8,
          fontSize: 14,
          fontWeight: 600,
          color: "var(--mui-palette-primary-contrastText)",
          backgroundColor: "var(--mui-palette-primary-main)",
        },
      }}
    />
  );
}
