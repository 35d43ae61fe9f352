import Box from "@mui/material/Box";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { File, FileArchive, FileHeadphone, FileImage, FilePlay, Folder, Link2, type LucideIcon, Plug } from "lucide-react";
import type { MouseEvent } from "react";
import { Link as RouterLink, useLocation } from "react-router";

import type { FileQuery } from "../../api/files";
import type { FileEntry } from "../../api/types";
import { filesText as text } from "../../text/enFiles";
import { isShown, type Look, lookOf, parentOf } from "../../util/files";
import { downloads, paths } from "../../util/paths";

const ICONS: Record<Look, LucideIcon> = {
  folder: Folder,
  link: Link2,
  archive: FileArchive,
  video: FilePlay,
  audio: FileHeadphone,
  picture: FileImage,
  other: Plug,
  file: File,
};

/** The folder's own address: the same list, one step further. */
function folderAddress(path: string, search: string): string {
  const now = new URLSearchParams(search);
  const kept = (name: string) => now.get(name) ?? undefined;
  return paths.files({ root: kept("root"), path, sort: kept("sort"), order: kept("order") });
}

interface Props {
  entry: FileEntry;
  asked: FileQuery;
  onOpen: (entry: FileEntry) => void;
}

/** A folder opens, a file is previewed; the rest is only named. A click with a key held is the browser's: it saves the file. */
export function EntryName({ entry, asked, onOpen }: Props) {
  const onClick = (event: MouseEvent) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    onOpen(entry);
  };
  const { search } = useLocation();
  const look = lookOf(entry);
  const Icon = ICONS[look];
  const words = { fontWeight: 560, color: "text.primary", overflowWrap: "anywhere" } as const;
  const elsewhere = asked.recursive && parentOf(entry.path) !== asked.path;
  return (
    <Box sx={{ display: "flex", alignItems: "center", gap: 1.25, minWidth: 0 }}>
      <Box component="span" role="img" aria-label={text.looks[look]} sx={{ display: "inline-flex", flexShrink: 0, color: look === "folder" ? "primary.main" : "text.secondary" }}>
        <Icon size={19} aria-hidden fill={look === "folder" ? "color-mix(in srgb, currentColor 22%, transparent)" : "none"} />
      </Box>
      <Box sx={{ minWidth: 0 }}>
        {entry.is_dir && entry.reachable ? (
          <Link component={RouterLink} to={folderAddress(entry.path, search)} sx={words}>
            {entry.name}
          </Link>
        ) : isShown(entry, asked.root) && asked.root === "workspace" ? (
          <Link href={downloads.file(entry.path)} download onClick={onClick} aria-haspopup="dialog" sx={words}>
            {entry.name}
          </Link>
        ) : isShown(entry, asked.root) ? (
          <Link component="button" type="button" onClick={onClick} aria-haspopup="dialog" sx={{ ...words, textAlign: "start" }}>
            {entry.name}
          </Link>
        ) : (
          <Box component="span" sx={words} title={entry.reachable ? undefined : text.unreachable}>
            {entry.name}
          </Box>
        )}
        {elsewhere && (
          <Typography component="div" variant="caption" sx={{ color: "text.secondary" }}>
            {text.inFolder(parentOf(entry.path) || text.top[asked.root])}
          </Typography>
        )}
      </Box>
    </Box>
  );
}
