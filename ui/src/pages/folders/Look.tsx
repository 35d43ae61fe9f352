/** What is in the chosen folders before they are archived: what the pre-flight would refuse, kinds, length of media, size and time. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useQueries } from "@tanstack/react-query";

import { api, ask } from "../../api/client";
import { keys } from "../../api/queries";
import type { Folder, FolderPreview } from "../../api/types";
import { text } from "../../text/en";
import { duration } from "../../util/time";
import { bytes } from "../../util/units";

/** More folders than these are not looked into: each is walked through on the NAS. */
const MOST = 5;
const AGAIN_MS = 1000;
const FRESH_MS = 60_000;
const KINDS = 4;

function useLooks(folders: Folder[]) {
  return useQueries({
    queries: folders.slice(0, MOST).map((folder) => ({
      queryKey: keys.preview(folder.path),
      queryFn: () => ask(api.GET("/api/folders/preview", { params: { query: { path: folder.path } } })),
      refetchInterval: (query: { state: { data?: FolderPreview } }) => (query.state.data?.complete === false ? AGAIN_MS : false),
      staleTime: FRESH_MS,
      retry: false,
    })),
    combine: (results) => ({
      seen: results.flatMap((result) => (result.data ? [result.data] : [])),
      busy: results.some((result) => result.isPending || result.data?.complete === false),
      failed: results.filter((result) => result.isError).length,
    }),
  });
}

function kinds(seen: FolderPreview[]): string {
  const sizes = new Map<string, number>();
  for (const { type, size_bytes } of seen.flatMap((one) => one.types ?? [])) sizes.set(type, (sizes.get(type) ?? 0) + size_bytes);
  const largest = [...sizes].filter(([type]) => type !== "...").toSorted((a, b) => b[1] - a[1]);
  return largest
    .slice(0, KINDS)
    .map(([type, size]) => `${type || text.look.noEnding} ${bytes(size)}`)
    .join(", ");
}

export default function Look({ folders }: { folders: Folder[] }) {
  const { seen, busy, failed } = useLooks(folders);
  const sum = (of: (one: FolderPreview) => number) => seen.reduce((total, one) => total + of(one), 0);
  const refused = seen.filter((one) => one.refusals?.length);
  const media = sum((one) => one.media?.duration_seconds ?? 0);
  const rows = [
    [text.look.kinds, kinds(seen)],
    [text.look.media, media > 0 ? duration(media) : ""],
    [text.look.archive, seen.length > 0 ? text.look.about(bytes(sum((one) => one.estimate.archive_bytes))) : ""],
    [text.look.time, seen.length > 0 ? text.look.about(duration(sum((one) => one.estimate.seconds))) : ""],
  ];
  return (
    <Box component="section" aria-label={text.look.title} aria-busy={busy} sx={{ display: "grid", gap: 1 }}>
      {refused.map((one) => (
        <Alert key={one.path} severity="error">
          <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.875rem" }}>
            {text.look.refused(one.path.slice(one.path.lastIndexOf("/") + 1))}
          </Typography>
          {one.refusals?.map((sentence) => (
            <Typography key={sentence} component="p" variant="body2" sx={{ overflowWrap: "anywhere" }}>
              {sentence}
            </Typography>
          ))}
        </Alert>
      ))}
      <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "auto 1fr", columnGap: 2, rowGap: 0.25 }}>
        {rows.map(([name, value]) => (
          <Box key={name} sx={{ display: "contents" }}>
            <Typography component="dt" variant="body2" sx={{ color: "text.secondary" }}>
              {name}
            </Typography>
            <Typography component="dd" variant="body2" sx={{ m: 0, minWidth: 0, overflowWrap: "anywhere" }}>
              {value || (busy ? "…" : text.look.none)}
            </Typography>
          </Box>
        ))}
      </Box>
      {folders.length > MOST && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.look.first(MOST)}
        </Typography>
      )}
      {failed > 0 && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.look.failed(failed)}
        </Typography>
      )}
    </Box>
  );
}
