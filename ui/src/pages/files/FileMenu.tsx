import Divider from "@mui/material/Divider";
import ListItemIcon from "@mui/material/ListItemIcon";
import Menu from "@mui/material/Menu";
import MenuItem from "@mui/material/MenuItem";
import { Clapperboard, Download, Eye, FileArchive, FolderInput, FolderOpen, List, type LucideIcon, Package, PackageOpen, Pencil, Trash2 } from "lucide-react";

import type { RootName } from "../../api/files";
import { useSilent } from "../../api/silence";
import type { FileEntry } from "../../api/types";
import { filesText as text } from "../../text/enFiles";
import { lookText } from "../../text/enLook";
import { isArchive, isMedia } from "../../util/files";
import { downloads } from "../../util/paths";
import type { MenuPlace, Question } from "./offer";

interface Props {
  menu: MenuPlace;
  /** Where the menu of the list itself was opened: what it is about may be all that is chosen. */
  entries: FileEntry[];
  root: RootName;
  onClose: () => void;
  onAsk: (question: Question) => void;
  onOpen: (entry: FileEntry) => void;
}

interface Item {
  label: string;
  icon: LucideIcon;
  ask?: Question;
  danger?: boolean;
}

/** What can be done with an entry; on the NAS nothing that would change it. */
function itemsFor(entry: FileEntry, root: RootName): Item[] {
  const own = root === "workspace";
  const items: (Item | false)[] = [
    entry.is_dir && { label: text.pack, icon: Package, ask: { about: "pack", entry } },
    isArchive(entry) && { label: text.contents, icon: List, ask: { about: "contents", entry } },
    isArchive(entry) && { label: text.extract, icon: PackageOpen, ask: { about: "extract", entry } },
    isMedia(entry) && { label: text.media, icon: Clapperboard, ask: { about: "media", entry } },
    entry.type !== "other" && { label: text.archive, icon: FileArchive, ask: { about: "archive", entries: [entry] } },
    own && { label: text.rename, icon: Pencil, ask: { about: "rename", entry } },
    own && { label: text.move, icon: FolderInput, ask: { about: "move", entries: [entry] } },
    own && { label: text.remove, icon: Trash2, ask: { about: "delete", entries: [entry] }, danger: true },
  ];
  return items.filter((item) => item !== false);
}

/** What can be done with several at once. */
function itemsForMany(entries: FileEntry[], root: RootName): Item[] {
  const items: (Item | false)[] = [
    { label: text.archive, icon: FileArchive, ask: { about: "archive", entries } },
    root === "workspace" && { label: text.move, icon: FolderInput, ask: { about: "move", entries } },
    root === "workspace" && { label: text.remove, icon: Trash2, ask: { about: "delete", entries }, danger: true },
  ];
  return items.filter((item) => item !== false);
}

export default function FileMenu({ menu, entries, root, onClose, onAsk, onOpen }: Props) {
  const { entry, anchor, at } = menu;
  const many = entries.length > 1;
  const silent = useSilent();
  return (
    <Menu
      open
      onClose={onClose}
      anchorEl={anchor}
      anchorReference={at ? "anchorPosition" : "anchorEl"}
      anchorPosition={at}
      slotProps={{ list: { "aria-label": many ? text.actionsOfMany(entries.length) : text.actionsOf(entry.name) } }}
    >
      {entry.is_dir && !many && (
        <MenuItem
          onClick={() => {
            onClose();
            onOpen(entry);
          }}
        >
          <ListItemIcon>
            <FolderOpen size={17} aria-hidden />
          </ListItemIcon>
          {text.open}
        </MenuItem>
      )}
      {entry.type === "file" && root === "workspace" && !isArchive(entry) && !many && (
        <MenuItem
          onClick={() => {
            onClose();
            onAsk({ about: "preview", entry });
          }}
        >
          <ListItemIcon>
            <Eye size={17} aria-hidden />
          </ListItemIcon>
          {lookText.preview.open}
        </MenuItem>
      )}
      {entry.type === "file" && root === "workspace" && !many && (
        <MenuItem component="a" href={downloads.file(entry.path)} download onClick={onClose}>
          <ListItemIcon>
            <Download size={17} aria-hidden />
          </ListItemIcon>
          {text.download}
        </MenuItem>
      )}
      {(many ? itemsForMany(entries, root) : itemsFor(entry, root)).flatMap(({ label, icon: Icon, ask, danger }) => [
        danger && <Divider key="line" component="li" role="presentation" />,
        <MenuItem
          key={label}
          disabled={silent && Boolean(ask)}
          onClick={() => {
            onClose();
            if (ask) onAsk(ask);
          }}
          sx={danger ? { color: "error.main" } : undefined}
        >
          <ListItemIcon sx={danger ? { color: "error.main" } : undefined}>
            <Icon size={17} aria-hidden />
          </ListItemIcon>
          {label}
        </MenuItem>,
      ])}
    </Menu>
  );
}
