/** What is in the chosen folders before they are archived: what the pre-flight would refuse, kinds, length of media, size and time. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useQueries } from "@tanstack/react-query";

import { api, ask } from "../../api/client";
import { keys } from "../../api/queries";
import type { Folder, FolderPreview } from "../../api/types";
import { reviewText } from "../../text/enReview";
import { doubtful, type Entry, figures, filmList, largest, tree, types } from "./look";

const text = reviewText.look;

/** More folders than these are not looked into: each is walked through on the NAS. */
const MOST = 5;
const AGAIN_MS = 1000;
const FRESH_MS = 60_000;

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

export default function Look({ folders }: { folders: Folder[] }) {
  const { seen, busy, failed } = useLooks(folders);
  return (
    <Box component="section" aria-label={text.title} aria-busy={busy} sx={{ display: "grid", gap: 1 }}>
      {seen.map((one) => (
        <Faults key={one.path} seen={one} />
      ))}
      <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "auto 1fr", columnGap: 2, rowGap: 0.25 }}>
        {figures(seen).map(([name, value]) => (
          <Box key={name} sx={{ display: "contents" }}>
            <Typography component="dt" variant="body2" sx={{ color: "text.secondary" }}>
              {name}
            </Typography>
            <Typography component="dd" variant="body2" sx={{ m: 0, minWidth: 0, overflowWrap: "anywhere" }}>
              {value || (busy ? "…" : text.none)}
            </Typography>
          </Box>
        ))}
      </Box>
      {folders.slice(0, MOST).map((folder) => (
        <Inside key={folder.path} name={folder.name} seen={seen.find((one) => one.path === folder.path)} />
      ))}
      {folders.length > MOST && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.first(MOST, folders.length)}
        </Typography>
      )}
      {failed > 0 && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.failed(failed)}
        </Typography>
      )}
    </Box>
  );
}

/** What stands in the way. */
function Faults({ seen }: { seen: FolderPreview }) {
  const name = seen.path.slice(seen.path.lastIndexOf("/") + 1);
  const told = [
    ["error", text.refused(name), seen.refusals ?? []],
    ["warning", text.changing(name), seen.changed ?? []],
    ["warning", text.doubtful(name, (seen.films ?? []).filter((film) => (film.warnings ?? []).length > 0).length), doubtful(seen)],
  ] as const;
  return told.map(
    ([severity, title, sentences]) =>
      sentences.length > 0 && (
        <Alert key={title} severity={severity}>
          <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.875rem" }}>
            {title}
          </Typography>
          {sentences.map((sentence) => (
            <Typography key={sentence} component="p" variant="body2" sx={{ overflowWrap: "anywhere" }}>
              {sentence}
            </Typography>
          ))}
        </Alert>
      ),
  );
}

/** One folder by endings, largest files and subfolders, for who wants to know. */
function Inside({ name, seen }: { name: string; seen: FolderPreview | undefined }) {
  return (
    <Box component="details">
      <Box component="summary" sx={{ cursor: "pointer", fontSize: "0.875rem", fontWeight: 560, lineHeight: "28px", "@media (pointer: coarse)": { lineHeight: "44px" } }}>
        {text.inside(name)}
      </Box>
      {!seen && "…"}
      {seen && (
        <Box sx={{ display: "grid", gap: 1, pl: 2 }}>
          {seen.names_hidden && <Typography variant="body2">{text.hidden}</Typography>}
          <Part title={text.byEnding} entries={types(seen)} />
          <Part title={text.largest} entries={largest(seen)} />
          <Part title={text.films} entries={filmList(seen)} />
          <Part title={text.folders} entries={tree(seen)} />
          <Part title={text.notes} entries={(seen.warnings ?? []).map((sentence) => ({ key: sentence, name: sentence, value: "" }))} />
        </Box>
      )}
    </Box>
  );
}

function Part({ title, entries }: { title: string; entries: Entry[] }) {
  if (entries.length === 0) return null;
  return (
    <Box>
      <Typography component="h3" variant="caption" sx={{ fontWeight: 600 }}>
        {title}
      </Typography>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0 }}>
        {entries.map(({ key, name, value, depth = 1 }) => (
          <Box component="li" key={key} sx={{ display: "flex", gap: 1.5, fontSize: "0.8125rem", paddingInlineStart: (depth - 1) * 2 }}>
            <Box component="span" sx={{ flex: 1, minWidth: 0, overflowWrap: "anywhere" }}>
              {name}
            </Box>
            <Box component="span" sx={{ color: "text.secondary", whiteSpace: "nowrap" }}>
              {value}
            </Box>
          </Box>
        ))}
      </Box>
    </Box>
  );
}
