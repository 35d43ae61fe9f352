/** The folders as a tree beside the list: the same addresses, a click or a key each. Keys as in the ARIA guide's navigation tree. */
import Box from "@mui/material/Box";
import { useQuery } from "@tanstack/react-query";
import { ChevronRight, Folder, FolderOpen } from "lucide-react";
import { type KeyboardEvent, useState } from "react";
import { Link } from "react-router";

import { fileQueries } from "../../api/files";
import { filesText as text } from "../../text/enFiles";
import { crumbs } from "../../util/files";
import { paths } from "../../util/paths";
import type { Place } from "./offer";

/** More folders than these in one are left to the list. */
const MOST = 100;
const STEP_PX = 14;
/** Deeper ones are not moved in any further: names need the room. */
const DEEPEST = 9;

function lookOf(level: number, isHere: boolean) {
  return {
    display: "flex",
    alignItems: "center",
    gap: 0.5,
    minHeight: 32,
    "@media (pointer: coarse)": { minHeight: 44 },
    pr: 1,
    paddingInlineStart: `${(Math.min(level, DEEPEST) - 1) * STEP_PX}px`,
    borderRadius: "8px",
    fontSize: "0.875rem",
    fontWeight: isHere ? 620 : 450,
    color: isHere ? "primary.main" : "text.primary",
    textDecoration: "none",
    "&:hover": { backgroundColor: "background.raised" },
    "@media (forced-colors: active)": isHere ? { outline: "1px solid Highlight", outlineOffset: -1 } : {},
  };
}

interface Tree extends Place {
  open: ReadonlySet<string>;
  /** The one that Tab leads to. */
  active: string;
  onActive: (folder: string) => void;
  onToggle: (folder: string) => void;
}

export default function FolderTree({ root, path }: Place) {
  const [known, setKnown] = useState<string | null>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = useState("");
  if (known !== path) {
    // Wherever one goes, the way there is open.
    setKnown(path);
    setOpen(new Set([...open, "", ...crumbs(path).map((folder) => folder.path)]));
  }
  const onToggle = (folder: string) => setOpen(open.has(folder) ? new Set([...open].filter((other) => other !== folder)) : new Set([...open, folder]));
  return (
    <Box component="ul" role="tree" aria-label={text.tree.label} onKeyDown={onKeyDown} sx={{ listStyle: "none", m: 0, p: 0.75 }}>
      <Branch tree={{ root, path, open, active, onActive: setActive, onToggle }} folder="" name={text.top[root]} level={1} />
    </Box>
  );
}

function Branch({ tree, folder, name, level }: { tree: Tree; folder: string; name: string; level: number }) {
  const isOpen = tree.open.has(folder);
  const list = useQuery({ ...fileQueries.list({ root: tree.root, path: folder, sort: "name", order: "asc", limit: MOST, offset: 0 }), enabled: isOpen });
  const below = list.data?.items.filter((entry) => entry.is_dir && entry.reachable);
  const isHere = tree.path === folder;
  const isCut = below?.length === MOST && (list.data?.total ?? 0) > MOST;
  const address = paths.files({ root: tree.root === "nas" ? tree.root : undefined, path: folder });
  const Icon = isHere ? FolderOpen : Folder;
  return (
    <li role="none">
      <Box
        component={Link}
        to={address}
        role="treeitem"
        aria-level={level}
        aria-expanded={below?.length === 0 ? undefined : isOpen}
        aria-current={isHere ? "page" : undefined}
        tabIndex={tree.active === folder ? 0 : -1}
        onFocus={() => tree.onActive(folder)}
        data-branch={folder}
        data-into={tree.root === "nas" ? undefined : folder}
        sx={lookOf(level, isHere)}
      >
        <Box
          component="span"
          aria-hidden
          data-toggle=""
          onClick={(event) => {
            event.preventDefault();
            tree.onToggle(folder);
          }}
          sx={{ display: "grid", placeItems: "center", width: 24, alignSelf: "stretch", flexShrink: 0, visibility: below?.length === 0 ? "hidden" : "visible" }}
        >
          <ChevronRight size={15} style={{ transform: isOpen ? "rotate(90deg)" : undefined }} />
        </Box>
        <Icon size={17} aria-hidden style={{ flexShrink: 0 }} />
        <Box component="span" sx={{ minWidth: 0, py: 0.5 }}>
          {name}
        </Box>
      </Box>
      {isOpen && below && below.length > 0 && (
        <Box component="ul" role="group" sx={{ listStyle: "none", m: 0, p: 0 }}>
          {below.map((entry) => (
            <Branch key={entry.path} tree={tree} folder={entry.path} name={entry.name} level={level + 1} />
          ))}
          {isCut && (
            <li role="none">
              <Box component={Link} to={address} role="treeitem" aria-level={level + 1} tabIndex={-1} sx={{ ...lookOf(level + 1, false), color: "text.secondary" }}>
                {text.tree.more}
              </Box>
            </li>
          )}
        </Box>
      )}
    </li>
  );
}

/** Up, down, first, last; right opens or goes in, left closes or goes out. */
function onKeyDown(event: KeyboardEvent<HTMLElement>) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('[role="treeitem"]')];
  const at = items.findIndex((item) => item === document.activeElement);
  const here = items[at];
  if (!here) return;
  const expanded = here.getAttribute("aria-expanded");
  const level = Number(here.getAttribute("aria-level"));
  const toggle = () => here.querySelector<HTMLElement>("[data-toggle]")?.click();
  const out = () => items.slice(0, at).findLast((item) => Number(item.getAttribute("aria-level")) < level)?.focus();
  const moves: Record<string, () => void> = {
    ArrowDown: () => items[at + 1]?.focus(),
    ArrowUp: () => items[at - 1]?.focus(),
    Home: () => items[0]?.focus(),
    End: () => items.at(-1)?.focus(),
    ArrowRight: () => (expanded === "false" ? toggle() : expanded === "true" && items[at + 1]?.focus()),
    ArrowLeft: () => (expanded === "true" ? toggle() : out()),
    " ": () => here.click(),
  };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  move();
}
