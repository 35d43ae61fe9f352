/** The question before a folder is packed: what it takes, whether there is room, and what becomes of the folder. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Checkbox from "@mui/material/Checkbox";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../../api/client";
import { fileQueries, type RootName } from "../../api/files";
import type { FileEntry } from "../../api/types";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { bytes } from "../../util/units";
import { noteBegun } from "./begun";
import { FormDialog } from "./FormDialog";
import { Labelled } from "./Labelled";

const FORMATS = [
  ["", text.packing.asSet],
  ["zip", "zip"],
  ["7z", "7z"],
] as const;
const LEVELS = [["", text.packing.asSet], ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [String(n), text.packing.levels(n)] as const)] as const;

interface Props {
  entry: FileEntry;
  root: RootName;
  onClose: () => void;
}

export default function PackDialog({ entry, root, onClose }: Props) {
  const client = useQueryClient();
  const own = root === "workspace";
  const [keep, setKeep] = useState(false);
  const [format, setFormat] = useState<"" | "zip" | "7z">("");
  const [level, setLevel] = useState("");
  const info = useQuery({ ...fileQueries.info(entry.path), enabled: own });
  const space = useQuery({ ...fileQueries.space(), staleTime: 0 });
  const size = info.data?.total_bytes ?? null;
  const free = space.data?.user_available ?? null;
  const short = size !== null && free !== null && size > free;
  const empty = size === 0;
  const deletes = own && !keep;
  const pack = useMutation({
    mutationFn: () =>
      ask(
        api.POST("/api/files/pack", {
          body: { folder_path: entry.path, keep_source: !deletes, root, format: format || null, compression_level: level ? Number(level) : null },
        }),
      ),
    onSuccess: () => {
      toast(text.packing.begun(entry.name), "info");
      onClose();
    },
    onSettled: (begun) => noteBegun(client, begun?.id),
  });
  return (
    <FormDialog
      title={text.packing.title(entry.name)}
      confirm={deletes ? text.packing.confirmDelete : text.packing.confirm}
      danger={deletes}
      ready={!short && !empty && (!own || size !== null)}
      busy={pack.isPending}
      error={pack.error ?? info.error ?? space.error}
      onSubmit={() => pack.mutate()}
      onClose={onClose}
    >
      <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "auto minmax(0, 1fr)", columnGap: 3, rowGap: 0.75 }}>
        <Box component="dt" sx={{ color: "text.secondary" }}>
          {text.packing.size}
        </Box>
        <Box component="dd" sx={{ m: 0, fontWeight: 600 }}>
          {info.data ? text.packing.of(size ?? 0, info.data.file_count ?? 0) : own ? text.packing.measuring : text.packing.measuredLater}
        </Box>
        <Box component="dt" sx={{ color: "text.secondary" }}>
          {text.packing.available}
        </Box>
        <Box component="dd" sx={{ m: 0, fontWeight: 600 }}>
          {free === null ? "–" : bytes(free)}
        </Box>
      </Box>
      {short && (
        <Alert severity="error" role="alert" data-short="">
          {text.packing.short(size, free)}
        </Alert>
      )}
      {empty && <Alert severity="error">{text.packing.empty}</Alert>}
      <Typography variant="body2">{size === null ? text.packing.holdsUnknown : text.packing.holds(size)}</Typography>
      <Box sx={{ display: "flex", flexWrap: "wrap", gap: 1.5 }}>
        <Labelled label={text.packing.format} value={format} options={FORMATS} onChange={setFormat} />
        <Labelled label={text.packing.level} value={level} options={LEVELS} onChange={setLevel} />
      </Box>
      {own ? (
        <>
          {deletes && (
            <Alert severity="error" data-deletes="" sx={{ color: "error.main" }}>
              <Typography component="p" sx={{ fontWeight: 650, fontSize: "0.9375rem" }}>
                {text.packing.deletes}
              </Typography>
              {text.packing.deletesText}
            </Alert>
          )}
          <Box component="label" sx={{ display: "flex", alignItems: "flex-start", gap: 0.5, minHeight: 44 }}>
            <Checkbox checked={keep} onChange={(_, on) => setKeep(on)} sx={{ mt: -0.5, ml: -1 }} />
            <Box component="span">
              <Typography component="span" sx={{ fontWeight: 560, display: "block" }}>
                {text.packing.keep}
              </Typography>
              <Typography component="span" variant="body2" sx={{ color: "text.secondary", display: "block" }}>
                {text.packing.keepText} {text.packing.keptExpires}
              </Typography>
            </Box>
          </Box>
        </>
      ) : (
        <Typography variant="body2">
          {text.packing.nas} {text.packing.keptExpires}
        </Typography>
      )}
    </FormDialog>
  );
}
