import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Drawer from "@mui/material/Drawer";
import IconButton from "@mui/material/IconButton";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { Download, FolderOpen, ListChecks, X } from "lucide-react";
import { useEffect, useRef } from "react";
import { Link as RouterLink } from "react-router";

import { hasEnded } from "../../api/jobCan";
import { JobRow } from "../../components/JobRow";
import { EmptyState, ErrorPanel } from "../../components/states";
import { STATUS_LOOK, toneColor } from "../../components/status";
import { useCancel } from "../../components/useCancel";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { lookText } from "../../text/enLook";
import { paths } from "../../util/paths";
import { ago } from "../../util/time";
import { useNow } from "../../util/useNow";
import type { TrayTask } from "./tray";

const words = lookText.output;
const TICK_MS = 20_000;

interface Props {
  tasks: TrayTask[];
  error: Error | null;
  onClose: () => void;
}

export default function TaskDrawer({ tasks, error, onClose }: Props) {
  const cancel = useCancel();
  const region = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that had the focus goes when its task ends; Esc must still close.
    if (!cancel.dialog && document.activeElement === document.body) region.current?.focus();
  });
  return (
    <Drawer
      open
      anchor="right"
      onClose={onClose}
      slotProps={{ paper: { role: "dialog", "aria-modal": true, "aria-labelledby": "tasks-title", sx: { width: { xs: "100%", sm: 460 }, display: "flex", flexDirection: "column" } } }}
    >
      <Box sx={{ display: "flex", alignItems: "flex-start", gap: 1, p: 3, pb: 1.5 }}>
        <Box sx={{ flex: 1 }}>
          <Typography component="h2" variant="h1" id="tasks-title">
            {text.tasks.title}
          </Typography>
          <Typography variant="body2" sx={{ color: "text.secondary", mt: 0.5 }}>
            {text.tasks.intro}
          </Typography>
        </Box>
        <IconButton aria-label={common.action.close} onClick={onClose} sx={{ mt: -0.5, mr: -1 }}>
          <X size={20} aria-hidden />
        </IconButton>
      </Box>
      <Box ref={region} sx={{ flex: 1, overflowY: "auto", px: 3, pb: 3 }} tabIndex={0} role="group" aria-labelledby="tasks-title">
        {error && <ErrorPanel error={error} />}
        {!error && tasks.length === 0 && <EmptyState icon={ListChecks} title={text.tasks.none} />}
        <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, display: "grid", gap: 1 }}>
          {tasks.map((task) => (
            <Item key={task.id} task={task} onCancel={() => cancel.ask([task.job])} onClose={onClose} />
          ))}
        </Box>
      </Box>
      {cancel.dialog}
    </Drawer>
  );
}

function Item({ task, onCancel, onClose }: { task: TrayTask; onCancel: () => void; onClose: () => void }) {
  const { job } = task;
  return (
    <Box component="li" data-task={task.id} data-word={task.word} sx={{ border: 1, borderColor: "divider", borderRadius: "10px", p: 1.75, display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: 1 }}>
      {hasEnded(job.status) ? <Ended task={task} onClose={onClose} /> : <JobRow job={job} onCancel={onCancel} />}
      {task.reserved > 0 && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.tasks.reserved(task.reserved)}
        </Typography>
      )}
    </Box>
  );
}

function Ended({ task, onClose }: { task: TrayTask; onClose: () => void }) {
  const { job, output, folder, expiresAt } = task;
  const { tone, icon: Icon } = STATUS_LOOK[job.status];
  const now = useNow(TICK_MS);
  return (
    <>
      <Box sx={{ display: "flex", alignItems: "baseline", gap: 1 }}>
        <Typography component="h3" variant="h3" sx={{ flex: 1, minWidth: 0 }}>
          {job.folder_name}
        </Typography>
        <Box component="span" sx={{ display: "inline-flex", alignItems: "center", gap: 0.5, fontSize: "0.8125rem", fontWeight: 600, whiteSpace: "nowrap", color: toneColor(tone) }}>
          <Icon size={15} aria-hidden />
          {text.tasks.words[task.word]}
        </Box>
      </Box>
      <Typography variant="caption" sx={{ color: "text.secondary" }}>
        {[common.kind[job.kind], ago(job.created_at, now)].join(" · ")}
      </Typography>
      {job.status === "failed" && job.error_message && (
        <Typography variant="body2" sx={{ color: "error.main" }}>
          {job.error_message}
        </Typography>
      )}
      {job.kept_count > 0 && <Typography variant="body2">{text.tasks.kept(job.kept_count)}</Typography>}
      {job.kind === "extract" && folder !== null && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {words.folder(folder || text.top.workspace)}
        </Typography>
      )}
      {output && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {output.parts > 1 ? words.parts(output.name, output.parts, output.size) : text.tasks.output(output.name, output.size)}
          {expiresAt && ` · ${text.tasks.expires(ago(expiresAt, now))}`}
        </Typography>
      )}
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1 }}>
        {output?.parts === 1 && (
          <Button component="a" href={output.address} download variant="contained" size="small" startIcon={<Download size={15} aria-hidden />} aria-label={text.downloadOne(output.name)}>
            {text.download}
          </Button>
        )}
        {folder !== null && output?.parts !== 1 && (
          <Button component={RouterLink} to={paths.files({ path: folder })} onClick={onClose} variant="outlined" size="small" startIcon={<FolderOpen size={15} aria-hidden />} aria-label={words.openOf(output?.name ?? job.folder_name)}>
            {words.open}
          </Button>
        )}
        <Link component={RouterLink} to={paths.job(task.id)} aria-label={text.tasks.detailsOf(job.folder_name)} sx={{ fontSize: "0.875rem", minHeight: 32, "@media (pointer: coarse)": { minHeight: 44 }, display: "inline-flex", alignItems: "center", px: 0.5 }}>
          {text.tasks.details}
        </Link>
      </Box>
    </>
  );
}
