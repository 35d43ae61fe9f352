import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";

import { fileQueries } from "../../api/files";
import { usePolling } from "../../api/sync";
import { ProgressBar } from "../../components/ProgressBar";
import { filesText as text } from "../../text/enFiles";

const NEARLY_FULL = 0.8;

/** How full the workspace is, and what it means when nothing more fits. Its height does not change when the figures come. */
export function Space() {
  const space = useQuery({ ...fileQueries.space(), refetchInterval: usePolling() }).data;
  const share = space && space.quota_bytes > 0 ? Math.min(100, (100 * space.used_bytes) / space.quota_bytes) : 0;
  return (
    <Box sx={{ minHeight: 34, maxWidth: 420 }}>
      {space && (
        <>
          <Typography component="div" variant="caption" sx={{ mb: 0.5 }} title={text.entries(space.used_entries, space.entry_limit)}>
            {text.used(space.used_bytes, space.quota_bytes)}
            {space.reserved_bytes > 0 && ` · ${text.reserved(space.reserved_bytes)}`}
            {space.used_entries >= NEARLY_FULL * space.entry_limit && ` · ${text.entries(space.used_entries, space.entry_limit)}`}
            {space.measuring && ` · ${text.measuring}`}
          </Typography>
          <ProgressBar bar={{ kind: "determinate", value: share }} label={text.usedLabel} height={6} />
        </>
      )}
    </Box>
  );
}

/** Only when it matters. */
export function FullNote() {
  const space = useQuery(fileQueries.space()).data;
  if (!space || (space.user_available > 0 && space.available_entries > 0)) return null;
  const full = space.user_available > 0 ? "entries" : space.server_available > 0 ? "quota" : "server";
  const texts = { entries: text.entriesFull, quota: text.full, server: text.serverFull };
  return (
    <Alert severity="warning" sx={{ mb: 2 }} data-full={full}>
      {texts[full]}
    </Alert>
  );
}
