import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Drawer from "@mui/material/Drawer";
import FormControlLabel from "@mui/material/FormControlLabel";
import IconButton from "@mui/material/IconButton";
import Switch from "@mui/material/Switch";
import Typography from "@mui/material/Typography";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowRight, ShieldCheck, X } from "lucide-react";
import { useState } from "react";
import { useNavigate } from "react-router";

import { fromThrown } from "../../api/errors";
import { keys, queries } from "../../api/queries";
import { queueFolder } from "../../api/queueFolder";
import type { Folder } from "../../api/types";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { reviewText as review } from "../../text/enReview";
import { MONO } from "../../theme/theme";
import { paths } from "../../util/paths";
import { bytes, GB, stagingNeed } from "../../util/units";
import Look from "./Look";

interface Props {
  folders: Folder[];
  onClose: () => void;
  onQueued: (paths: string[]) => void;
}

/** Where the gateway will send it; shown before, decided there. */
function destination(folder: Folder): string {
  return `/${folder.level1}/${folder.level2}/${folder.name}.tar.7z`;
}

/** Queue them one after the other, so that the queue has the order of the list. */
function useQueuing(onQueued: Props["onQueued"], onClose: () => void) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [done, setDone] = useState<number | null>(null);
  const [waiting, setWaiting] = useState(false);
  const [refused, setRefused] = useState<ReadonlyMap<string, string>>(new Map());
  const start = async (folders: Folder[], keepSource: boolean) => {
    const failures = new Map<string, string>();
    const queued: string[] = [];
    setRefused(failures);
    for (const [index, folder] of folders.entries()) {
      setDone(index);
      try {
        // oxlint-disable-next-line no-await-in-loop -- the order of the queue is the order of the list
        await queueFolder(folder.path, { keepSource, onWait: () => setWaiting(true) });
        queued.push(folder.path);
      } catch (thrown) {
        failures.set(folder.path, fromThrown(thrown).message);
      }
      setWaiting(false);
    }
    setDone(null);
    setRefused(failures);
    onQueued(queued);
    for (const queryKey of [keys.queue, keys.folders, keys.jobs, keys.system]) void client.invalidateQueries({ queryKey });
    if (failures.size > 0) return;
    toast(review.done(queued.length));
    onClose();
    await navigate(paths.queue());
  };
  return { start, done, waiting, refused };
}

export default function Review({ folders: asked, onClose, onQueued }: Props) {
  const [out, setOut] = useState<ReadonlySet<string>>(new Set());
  const [keepSource, setKeepSource] = useState(false);
  const folders = asked.filter((folder) => !out.has(folder.path));
  const { start, done, waiting, refused } = useQueuing((queued) => {
    setOut((old) => new Set([...old, ...queued]));
    onQueued(queued);
  }, onClose);
  const busy = done !== null;
  const size = folders.reduce((sum, folder) => sum + folder.size_bytes, 0);
  const files = folders.reduce((sum, folder) => sum + folder.file_count, 0);
  return (
    <Drawer
      open
      anchor="right"
      onClose={() => !busy && onClose()}
      slotProps={{ paper: { role: "dialog", "aria-modal": true, "aria-labelledby": "review-title", sx: { width: { xs: "100%", sm: 480 }, display: "flex", flexDirection: "column" } } }}
    >
      <Box sx={{ display: "flex", alignItems: "flex-start", gap: 1, p: 3, pb: 1.5 }}>
        <Box sx={{ flex: 1 }}>
          <Typography component="h2" variant="h1" id="review-title">
            {review.title(folders.length)}
          </Typography>
          <Typography variant="body2" sx={{ color: "text.secondary", mt: 0.5 }}>
            {review.intro}
          </Typography>
        </Box>
        <IconButton aria-label={text.action.close} onClick={onClose} disabled={busy} sx={{ mt: -0.5, mr: -1 }}>
          <X size={20} aria-hidden />
        </IconButton>
      </Box>
      <Box sx={{ flex: 1, overflowY: "auto", px: 3, pb: 2, display: "grid", gap: 2, alignContent: "start" }} tabIndex={0} role="group" aria-labelledby="review-title">
        {waiting && (
          <Alert severity="info" role="status">
            {review.waiting}
          </Alert>
        )}
        {refused.size > 0 && (
          <Alert severity="error" role="alert">
            {folders.length === asked.length ? review.allFailed : review.failed(refused.size, asked.length)}
          </Alert>
        )}
        <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, border: 1, borderColor: "divider", borderRadius: "10px" }}>
          {folders.map((folder) => (
            <Item
              key={folder.path}
              folder={folder}
              error={refused.get(folder.path)}
              onRemove={folders.length > 1 && !busy ? () => setOut((old) => new Set([...old, folder.path])) : null}
            />
          ))}
        </Box>
        <Typography variant="body2" sx={{ fontWeight: 600 }}>
          {review.summary}: {bytes(size)}, {review.files(files)}
        </Typography>
        <Look folders={folders} />
        <Space folders={folders} />
        <FormControlLabel
          control={<Switch checked={keepSource} disabled={busy} onChange={(_, on) => setKeepSource(on)} />}
          label={
            <>
              <Typography component="span" sx={{ display: "block", fontWeight: 580, fontSize: "0.9375rem" }}>
                {review.keep}
              </Typography>
              <Typography component="span" variant="caption" sx={{ color: "text.secondary" }}>
                {review.keepText}
              </Typography>
            </>
          }
          sx={{ alignItems: "center", ml: 0 }}
        />
        {!keepSource && (
          <Alert severity="warning" icon={<ShieldCheck size={20} aria-hidden />}>
            <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.875rem" }}>
              {review.deletes}
            </Typography>
            {review.deletesText}
          </Alert>
        )}
      </Box>
      <Box sx={{ display: "flex", justifyContent: "flex-end", gap: 1, p: 2, px: 3, borderTop: 1, borderColor: "divider" }}>
        <Button variant="outlined" onClick={onClose} disabled={busy}>
          {text.action.cancel}
        </Button>
        <Button variant="contained" disabled={folders.length === 0 || busy} onClick={() => void start(folders, keepSource)}>
          {busy ? review.busy(done + 1, folders.length) : review.submit(folders.length)}
        </Button>
      </Box>
    </Drawer>
  );
}

function Item({ folder, error, onRemove }: { folder: Folder; error: string | undefined; onRemove: (() => void) | null }) {
  return (
    <Box component="li" sx={{ p: 1.5, "& + &": { borderTop: 1, borderColor: "divider" } }}>
      <Box sx={{ display: "flex", gap: 1, alignItems: "baseline" }}>
        <Typography sx={{ fontWeight: 580, flex: 1, minWidth: 0 }}>{folder.name}</Typography>
        <Typography variant="body2" sx={{ whiteSpace: "nowrap", color: "text.secondary" }}>
          {bytes(folder.size_bytes)}
        </Typography>
        {onRemove && (
          <IconButton size="small" aria-label={review.remove(folder.name)} onClick={onRemove} sx={{ alignSelf: "center", my: -0.5 }}>
            <X size={15} aria-hidden />
          </IconButton>
        )}
      </Box>
      <Box sx={{ display: "flex", gap: 0.75, color: "text.secondary", mt: 0.25 }}>
        <ArrowRight size={14} style={{ marginTop: 3, flexShrink: 0 }} aria-label={review.goesTo} role="img" />
        <Typography component="span" sx={{ fontFamily: MONO, fontSize: "0.75rem", lineHeight: 1.6, minWidth: 0 }}>
          {destination(folder)}
        </Typography>
      </Box>
      {error && (
        <Typography variant="body2" role="alert" sx={{ color: "error.main", mt: 0.5 }}>
          {error}
        </Typography>
      )}
    </Box>
  );
}

function Space({ folders }: { folders: Folder[] }) {
  const disk = useQuery(queries.system()).data?.disk_space;
  if (!disk || folders.length === 0) return null;
  const need = stagingNeed(Math.max(...folders.map((folder) => folder.size_bytes)));
  const free = disk.free_gb * GB;
  if (need <= free) {
    return (
      <Typography variant="body2" sx={{ color: "text.secondary" }}>
        {review.space}: {review.spaceOk(need, free)}
      </Typography>
    );
  }
  return <Alert severity="warning">{review.spaceLow(need, free)}</Alert>;
}
