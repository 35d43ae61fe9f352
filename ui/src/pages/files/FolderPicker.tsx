import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { CornerLeftUp, Folder } from "lucide-react";

import { fileQueries } from "../../api/files";
import { ErrorPanel, SkeletonRows } from "../../components/states";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { parentOf } from "../../util/files";

const MOST = 200;

interface Props {
  label: string;
  folder: string;
  onFolder: (folder: string) => void;
  /** Not to be walked into. */
  without?: ReadonlySet<string>;
}

/** Walk through the workspace's folders. */
export function FolderPicker({ label, folder, onFolder, without }: Props) {
  const list = useQuery(fileQueries.list({ root: "workspace", path: folder, sort: "name", order: "asc", limit: MOST, offset: 0 }));
  const folders = (list.data?.items ?? []).filter((entry) => entry.is_dir && entry.reachable && !without?.has(entry.path));
  const row = { justifyContent: "flex-start", width: "100%", textAlign: "start", fontWeight: 500, borderRadius: 0, "&.Mui-focusVisible": { outlineOffset: -2 } } as const;
  return (
    <Box role="group" aria-label={label} sx={{ border: 1, borderColor: "divider", borderRadius: "10px", overflow: "hidden" }}>
      <Typography component="p" variant="body2" data-target="" sx={{ px: 1.5, py: 1, fontWeight: 600, borderBottom: 1, borderColor: "divider" }}>
        {text.top.workspace}
        {folder && ` / ${folder.replaceAll("/", " / ")}`}
      </Typography>
      <Box sx={{ height: 240, overflowY: "auto" }}>
        {folder && (
          <Button onClick={() => onFolder(parentOf(folder))} startIcon={<CornerLeftUp size={16} aria-hidden />} sx={row}>
            {common.action.up}
          </Button>
        )}
        {list.error && <ErrorPanel error={list.error} onRetry={() => void list.refetch()} />}
        {!list.data && !list.error && <SkeletonRows rows={4} height={40} />}
        {list.data && folders.length === 0 && (
          <Typography variant="body2" sx={{ p: 1.5, color: "text.secondary" }}>
            {text.moving.none}
          </Typography>
        )}
        {folders.map((entry) => (
          <Button key={entry.path} onClick={() => onFolder(entry.path)} startIcon={<Folder size={16} aria-hidden />} sx={row}>
            {entry.name}
          </Button>
        ))}
      </Box>
    </Box>
  );
}
