/** What is in an archive, without unpacking it. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Checkbox from "@mui/material/Checkbox";
import Drawer from "@mui/material/Drawer";
import IconButton from "@mui/material/IconButton";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { X } from "lucide-react";
import { lazy, type SubmitEvent, Suspense, useState } from "react";

import { ApiError } from "../../api/errors";
import { fileQueries, type RootName } from "../../api/files";
import type { ArchiveContent, ArchiveStatistics, FileEntry } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { Pager } from "../../components/Pager";
import { PasswordField } from "../../components/PasswordField";
import { SearchField } from "../../components/SearchField";
import { ErrorPanel, SkeletonRows } from "../../components/states";
import { text as common } from "../../text/en";
import { archivesText as archives } from "../../text/enArchives";
import { filesText as text } from "../../text/enFiles";
import { MONO } from "../../theme/theme";
import { bytes } from "../../util/units";
import type { Chosen } from "./ExtractDialog";

/** Two names that are no plain text may look alike. */
const keyOf = (item: Chosen) => item.path_base64 ?? `/${item.path}`;

const ExtractDialog = lazy(() => import("./ExtractDialog"));
const PAGE_SIZE = 100;

interface Props {
  entry: FileEntry;
  root: RootName;
  onClose: () => void;
}

export default function Contents({ entry, root, onClose }: Props) {
  const [q, setQ] = useState("");
  const [page, setPage] = useState(1);
  const [key, setKey] = useState({ password: "", tries: 0 });
  const [chosen, setChosen] = useState<ReadonlyMap<string, Chosen>>(new Map());
  const [extracting, setExtracting] = useState(false);
  const asked = { root, path: entry.path, q: q || undefined, limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE };
  const list = useQuery(fileQueries.contents(asked, key.password, key.tries));
  const stats = useQuery(fileQueries.archiveStats(root, entry.path, key.password, key.tries));
  const refused = list.error instanceof ApiError && list.error.kind === "bad-password" ? list.error : null;
  const toggle = (item: Chosen, on: boolean) =>
    setChosen((old) => {
      const others = [...old].filter(([other]) => other !== keyOf(item));
      return new Map(on ? [...others, [keyOf(item), item]] : others);
    });
  return (
    <Drawer
      open
      anchor="right"
      onClose={onClose}
      slotProps={{ paper: { role: "dialog", "aria-modal": true, "aria-labelledby": "contents-title", sx: { width: { xs: "100%", sm: 640 }, display: "flex", flexDirection: "column" } } }}
    >
      <Box sx={{ display: "flex", alignItems: "flex-start", gap: 1, p: 3, pb: 1.5 }}>
        <Box sx={{ flex: 1, minWidth: 0 }}>
          <Typography component="h2" variant="h1" id="contents-title">
            {archives.inside.title(entry.name)}
          </Typography>
          {stats.data && <Figures stats={stats.data} />}
        </Box>
        <IconButton aria-label={common.action.close} onClick={onClose} sx={{ mt: -0.5, mr: -1 }}>
          <X size={20} aria-hidden />
        </IconButton>
      </Box>
      <Box sx={{ flex: 1, overflowY: "auto", px: 3, pb: 2, display: "grid", gap: 1.5, alignContent: "start" }} tabIndex={0} role="group" aria-labelledby="contents-title">
        {refused && <Unlock failed={key.tries > 0 ? refused.message : null} onPassword={(password) => setKey((old) => ({ password, tries: old.tries + 1 }))} />}
        {list.error && !refused && <ErrorPanel error={list.error} onRetry={() => void list.refetch()} />}
        {stats.data && stats.data.problems.length > 0 && (
          <Alert severity="warning">
            {archives.inside.problems} {stats.data.problems.join(" ")}
          </Alert>
        )}
        {!list.error && (
          <SearchField
            label={archives.inside.search}
            value={q}
            onChange={(words) => {
              setQ(words);
              setPage(1);
            }}
          />
        )}
        {!list.data && !list.error && <SkeletonRows rows={8} height={44} />}
        {list.data && !list.error && (
          <>
            {list.data.items.length === 0 && <Typography variant="body2">{q ? archives.inside.noMatch : archives.inside.empty}</Typography>}
            <Box component="ul" aria-label={archives.inside.title(entry.name)} sx={{ listStyle: "none", m: 0, p: 0, border: list.data.items.length > 0 ? 1 : 0, borderColor: "divider", borderRadius: "10px" }}>
              {list.data.items.map((item, index) => (
                <Line key={`${item.path}:${asked.offset + index}`} item={item} checked={chosen.has(keyOf(item))} onToggle={toggle} />
              ))}
            </Box>
            <Pager page={page} size={PAGE_SIZE} total={list.data.total} onPage={setPage} />
          </>
        )}
      </Box>
      {list.data && !list.error && (
        <Box sx={{ display: "flex", justifyContent: "flex-end", gap: 1, p: 2, px: 3, borderTop: 1, borderColor: "divider" }}>
          <ActionButton variant="contained" onClick={() => setExtracting(true)}>
            {chosen.size > 0 ? archives.inside.extractSome(chosen.size) : archives.inside.extractAll}
          </ActionButton>
        </Box>
      )}
      <Suspense fallback={null}>
        {extracting && <ExtractDialog entry={entry} root={root} chosen={[...chosen.values()]} known={key.password} onClose={() => setExtracting(false)} />}
      </Suspense>
    </Drawer>
  );
}

function Figures({ stats }: { stats: ArchiveStatistics }) {
  const parts = [stats.format, archives.inside.figures(stats.files, stats.original_size, stats.compressed_size)];
  if (stats.compression_ratio > 0) parts.push(archives.inside.smaller(stats.compression_ratio / 100));
  if (stats.encrypted) parts.push(archives.inside.encrypted);
  return (
    <Typography variant="body2" sx={{ color: "text.secondary", mt: 0.5 }}>
      {parts.join(" · ")}
    </Typography>
  );
}

function Unlock({ failed, onPassword }: { failed: string | null; onPassword: (password: string) => void }) {
  const [password, setPassword] = useState("");
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    onPassword(password);
  };
  return (
    <Box component="form" onSubmit={submit} sx={{ display: "grid", gap: 1.5 }}>
      <Alert severity={failed ? "error" : "info"} role="alert">
        {failed ?? archives.inside.locked}
      </Alert>
      <PasswordField label={archives.inside.password} autoFocus value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="off" />
      <ActionButton type="submit" variant="contained" disabled={!password} sx={{ justifySelf: "start" }}>
        {archives.inside.unlock}
      </ActionButton>
    </Box>
  );
}

function Line({ item, checked, onToggle }: { item: ArchiveContent; checked: boolean; onToggle: (item: Chosen, on: boolean) => void }) {
  return (
    <Box component="li" sx={{ display: "grid", gridTemplateColumns: "44px minmax(0, 1fr) auto", alignItems: "center", gap: 0.5, pr: 1.5, minHeight: 44, "& + &": { borderTop: 1, borderColor: "divider" } }}>
      <Checkbox
        checked={checked}
        onChange={(_, on) => onToggle(item, on)}
        slotProps={{ input: { "aria-label": archives.inside.choose(item.path) } }}
        sx={{ width: 44, height: 44 }}
      />
      <Box component="span" sx={{ fontFamily: MONO, fontSize: "0.8125rem", overflowWrap: "anywhere" }}>
        {item.path}
        {item.type === "directory" && "/"}
      </Box>
      <Typography component="span" variant="caption" sx={{ color: "text.secondary", whiteSpace: "nowrap" }}>
        {item.type === "file" ? bytes(item.size) : text.looks[item.type === "directory" ? "folder" : item.type]}
      </Typography>
    </Box>
  );
}
