import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Drawer from "@mui/material/Drawer";
import IconButton from "@mui/material/IconButton";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Download, ListChecks, X } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Link as RouterLink } from "react-router";

import { api, ask } from "../../api/client";
import { hasEnded, jobCan } from "../../api/jobCan";
import { useConnection } from "../../api/sync";
import { ActionButton } from "../../components/ActionButton";
import { ProgressBar } from "../../components/ProgressBar";
import { EmptyState, ErrorPanel } from "../../components/states";
import { STATUS_LOOK, toneColor } from "../../components/status";
import { toast } from "../../components/toasts";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { downloads, paths } from "../../util/paths";
import { ago } from "../../util/time";
import { useNow } from "../../util/useNow";
import { noteBegun } from "./begun";
import type { TrayTask } from "./tray";

const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));
const TICK_MS = 20_000;

interface Props {
  tasks: TrayTask[];
  error: Error | null;
  onClose: () => void;
}

export default function TaskDrawer({ tasks, error, onClose }: Props) {
  const [asked, setAsked] = useState<TrayTask | null>(null);
  const cancel = useCancelling(() => setAsked(null));
  const region = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that had the focus goes when its task ends; Esc must still close.
    if (!asked && document.activeElement === document.body) region.current?.focus();
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
            <Item key={task.id} task={task} onCancel={() => setAsked(task)} />
          ))}
        </Box>
      </Box>
      <Suspense fallback={null}>
        {asked && (
          <ConfirmDialog
            title={common.cancel.titleOwn(asked.name)}
            effects={common.cancel.own}
            confirm={text.tasks.cancelConfirm}
            keep={text.tasks.keepRunning}
            busy={cancel.isPending}
            error={cancel.error}
            onConfirm={() => cancel.mutate(asked)}
            onClose={() => {
              cancel.reset();
              setAsked(null);
            }}
          />
        )}
      </Suspense>
    </Drawer>
  );
}

function useCancelling(onDone: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (task: TrayTask) => {
      if (task.kind === "pack") await ask(api.DELETE("/api/files/pack/{pack_id}", { params: { path: { pack_id: task.id } } }));
      else await ask(api.DELETE("/api/jobs/{job_id}", { params: { path: { job_id: task.id } } }));
    },
    onSuccess: (_, task) => {
      toast(text.tasks.cancelled(task.name), "info");
      onDone();
    },
    onSettled: () => noteBegun(client),
  });
}

function Item({ task, onCancel }: { task: TrayTask; onCancel: () => void }) {
  const { tone, icon: Icon } = STATUS_LOOK[task.status];
  const live = useConnection().state === "live";
  const now = useNow(TICK_MS);
  const running = !hasEnded(task.status);
  return (
    <Box component="li" data-task={task.id} data-word={task.word} sx={{ border: 1, borderColor: "divider", borderRadius: "10px", p: 1.75, display: "grid", gap: 1 }}>
      <Box sx={{ display: "flex", alignItems: "baseline", gap: 1 }}>
        <Typography component="h3" variant="h3" sx={{ flex: 1, minWidth: 0 }}>
          {task.name}
        </Typography>
        <Box component="span" sx={{ display: "inline-flex", alignItems: "center", gap: 0.5, fontSize: "0.8125rem", fontWeight: 600, whiteSpace: "nowrap", color: toneColor(tone) }}>
          <Icon size={15} aria-hidden />
          {task.cancelling ? common.status.cancelling : task.paused ? common.status.paused : text.tasks.words[task.word]}
        </Box>
      </Box>
      <Typography variant="caption" sx={{ color: "text.secondary" }}>
        {[text.tasks.kinds[task.kind], ago(task.createdAt, now), running ? task.message : null].filter(Boolean).join(" · ")}
      </Typography>
      {running && (
        <>
          <ProgressBar bar={{ kind: "determinate", value: task.progress }} label={text.tasks.progress(task.name)} moving={live && !task.paused} height={6} />
          <Typography variant="caption" sx={{ color: "text.secondary", fontVariantNumeric: "tabular-nums" }}>
            {text.tasks.at(task.progress / 100, task.reserved ?? 0)}
          </Typography>
        </>
      )}
      {task.word === "failed" && task.error && (
        <Typography variant="body2" sx={{ color: "error.main" }}>
          {task.error}
        </Typography>
      )}
      {task.kept > 0 && <Typography variant="body2">{text.tasks.kept(task.kept)}</Typography>}
      {task.output && (
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.tasks.output(task.output.name, task.output.size)}
          {task.expiresAt && ` · ${text.tasks.expires(ago(task.expiresAt, now))}`}
        </Typography>
      )}
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1 }}>
        {task.output && (
          <Button component="a" href={downloads.pack(task.id)} download variant="contained" size="small" startIcon={<Download size={15} aria-hidden />} aria-label={text.downloadOne(task.output.name)}>
            {text.download}
          </Button>
        )}
        {running && (
          <ActionButton variant="outlined" color="error" size="small" disabled={!jobCan.cancel(task)} aria-label={text.tasks.cancelOne(task.name)} onClick={onCancel}>
            {text.tasks.cancel}
          </ActionButton>
        )}
        <Link component={RouterLink} to={paths.job(task.id)} aria-label={text.tasks.detailsOf(task.name)} sx={{ fontSize: "0.875rem", minHeight: 32, "@media (pointer: coarse)": { minHeight: 44 }, display: "inline-flex", alignItems: "center", px: 0.5 }}>
          {text.tasks.details}
        </Link>
      </Box>
    </Box>
  );
}
