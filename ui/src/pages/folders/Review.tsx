import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Drawer from "@mui/material/Drawer";
import FormControlLabel from "@mui/material/FormControlLabel";
import IconButton from "@mui/material/IconButton";
import Switch from "@mui/material/Switch";
import Typography from "@mui/material/Typography";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowRight, ShieldCheck, X } from "lucide-react";
import { type ReactNode, useState } from "react";
import { useNavigate } from "react-router";

import { api, ask } from "../../api/client";
import { fromThrown } from "../../api/errors";
import { keys } from "../../api/queries";
import { queueFolder } from "../../api/queueFolder";
import type { Folder } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { reviewText as review } from "../../text/enReview";
import { MONO } from "../../theme/theme";
import { paths } from "../../util/paths";
import { bytes } from "../../util/units";
import Look from "./Look";

/** A window too low for a list above what will happen: all of it scrolls. */
const LOW = "@media (max-height: 560px)";

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
      <Box sx={{ flex: 1, overflowY: "auto", px: 3, pb: 2, display: "grid", gap: 2, alignContent: "start", [LOW]: { flex: "none", overflowY: "visible" } }} tabIndex={0} role="group" aria-label={review.list}>
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
        <Look folders={folders} />
      </Box>
      <Plan folders={folders} keepSource={keepSource} busy={busy} onKeepSource={setKeepSource}>
        <Button variant="outlined" onClick={onClose} disabled={busy}>
          {text.action.cancel}
        </Button>
        <ActionButton variant="contained" disabled={folders.length === 0 || busy} onClick={() => void start(folders, keepSource)}>
          {busy ? review.busy(done + 1, folders.length) : review.submit(folders.length)}
        </ActionButton>
      </Plan>
    </Drawer>
  );
}

interface PlanProps {
  folders: Folder[];
  keepSource: boolean;
  busy: boolean;
  onKeepSource: (keep: boolean) => void;
  children: ReactNode;
}

/** What a press of the button does, beside the button: it stays in view however many folders there are. */
function Plan({ folders, keepSource, busy, onKeepSource, children }: PlanProps) {
  const size = folders.reduce((sum, folder) => sum + folder.size_bytes, 0);
  const files = folders.reduce((sum, folder) => sum + folder.file_count, 0);
  const largest = Math.max(0, ...folders.map((folder) => folder.size_bytes));
  return (
    <Box component="section" aria-label={review.plan} sx={{ display: "grid", gap: 1, px: 3, py: 2, borderTop: 1, borderColor: "divider" }}>
      <Typography variant="body2" sx={{ fontWeight: 600 }}>
        {review.total(size, files)}
      </Typography>
      <Cost size={size} largest={largest} n={folders.length} />
      <FormControlLabel
        control={<Switch checked={keepSource} disabled={busy} onChange={(_, on) => onKeepSource(on)} />}
        label={
          <Typography component="span" sx={{ fontWeight: 580, fontSize: "0.9375rem" }}>
            {review.keep(folders.length)}
          </Typography>
        }
        sx={{ alignItems: "center", ml: 0 }}
      />
      {keepSource ? (
        <Alert severity="info">{review.keepText}</Alert>
      ) : (
        <Alert severity="warning" icon={<ShieldCheck size={20} aria-hidden />}>
          <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.875rem" }}>
            {review.deletes(folders.length)}
          </Typography>
          {review.deletesText}
        </Alert>
      )}
      <Box sx={{ display: "flex", justifyContent: "flex-end", gap: 1, pt: 0.5 }}>{children}</Box>
    </Box>
  );
}

/** Of all the folders, as the gateway estimates it. */
function Cost({ size, largest, n }: { size: number; largest: number; n: number }) {
  const { data, isError } = useQuery({
    queryKey: ["estimate", size, largest],
    queryFn: () => ask(api.GET("/api/folders/estimate", { params: { query: { size_bytes: size, largest_bytes: largest } } })),
    placeholderData: keepPreviousData,
  });
  const room = data && (data.fits ? review.spaceOk : review.spaceLow)(data.needed_bytes, data.available_bytes);
  return (
    <>
      <Typography variant="body2" sx={{ color: "text.secondary" }}>
        {data ? review.estimate(data.archive_bytes, data.seconds, n) : isError ? review.noEstimate : review.estimating} {data?.fits && room}
      </Typography>
      {data && !data.fits && <Alert severity="warning">{room}</Alert>}
    </>
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
