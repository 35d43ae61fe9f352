import Box from "@mui/material/Box";
import Link from "@mui/material/Link";
import { CircleCheck, TriangleAlert } from "lucide-react";
import { Link as RouterLink } from "react-router";

import type { Folder } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { StatusChip } from "../../components/StatusChip";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { offered } from "./offer";

/** The folder's button, or why it has none. */
export function FolderAction({ folder, onArchive }: { folder: Folder; onArchive: (folder: Folder) => void }) {
  if (folder.job_id && folder.job_status) {
    return (
      <Link component={RouterLink} to={paths.job(folder.job_id)} underline="none">
        <StatusChip job={{ status: folder.job_status }} />
      </Link>
    );
  }
  if (offered(folder)) {
    return (
      <ActionButton size="small" variant="outlined" aria-label={text.folders.archiveOne(folder.name)} onClick={() => onArchive(folder)}>
        {text.folders.archive}
      </ActionButton>
    );
  }
  const word = folder.is_archived ? text.folders.archived : (text.folders.ignored[folder.ignored ?? ""] ?? folder.ignored);
  return (
    <Box component="span" sx={{ display: "inline-flex", alignItems: "center", gap: 0.75, fontSize: "0.8125rem", fontWeight: 560, color: folder.is_archived ? "success.main" : "text.secondary" }}>
      {folder.is_archived && <CircleCheck size={15} aria-hidden />}
      {word}
    </Box>
  );
}

export function PartialMark({ folder }: { folder: Folder }) {
  if (!folder.unreadable) return null;
  const why = text.folders.partial(folder.unreadable);
  return (
      <Box component="span" role="img" aria-label={why} title={why} sx={{ display: "inline-flex", color: "warning.main", verticalAlign: "-3px", ml: 0.75 }}>
        <TriangleAlert size={16} aria-hidden />
      </Box>
  );
}
