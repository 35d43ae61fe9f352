import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { History, Inbox } from "lucide-react";
import { useState } from "react";
import { Link as RouterLink } from "react-router";

import { queries, useTasks } from "../../api/queries";
import { usePolling } from "../../api/sync";
import type { JobSummary } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { BulkBar } from "../../components/BulkBar";
import { JobControls } from "../../components/JobControls";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState, ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { useCancel } from "../../components/useCancel";
import { useControl } from "../../components/useControl";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { bytes } from "../../util/units";
import { Announcer } from "./Announcer";
import { Lanes } from "./Lanes";
import { useMove } from "./useMove";
import { WaitingList } from "./WaitingList";

export function Queue() {
  const polling = usePolling();
  const queue = useQuery({ ...queries.queue(), refetchInterval: polling });
  const { tasks, pending } = useTasks(polling);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const cancel = useCancel(() => setSelected(new Set()));
  const control = useControl();
  const move = useMove();
  const data = pending ? undefined : queue.data;
  const active = data?.active_jobs ?? [];
  const waiting = data?.queued_jobs ?? [];
  const chosen = waiting.filter((job) => selected.has(job.job_id));
  const chosenIds = chosen.map((job) => job.job_id);
  const toggle = (ids: string[], on: boolean) =>
    setSelected((old) => {
      const next = new Set(old);
      for (const id of ids) {
        if (on) next.add(id);
        else next.delete(id);
      }
      return next;
    });
  return (
    <>
      <PageHeader
        title={text.queue.title}
        subtitle={data ? text.queue.subtitle(active.length + tasks.length, waiting.length + data.waiting_upload_jobs.length) : "\u00a0"}
        actions={
          <Button component={RouterLink} to={paths.history()} variant="outlined" startIcon={<History size={16} aria-hidden />}>
            {text.queue.viewHistory}
          </Button>
        }
      />
      <StaleNote query={queue} />
      {queue.error && !data && <ErrorPanel error={queue.error} onRetry={() => queue.refetch()} />}
      {!queue.error && !data && <SkeletonRows rows={6} height={64} />}
      {data && (
        <>
          <Announcer jobs={[...active, ...tasks]} />
          <Box sx={{ mb: 3 }}>
            <Lanes label={text.queue.lanes} active={active} tasks={tasks} onCancel={(job) => cancel.ask([job])} />
          </Box>
          <UploadWaiters jobs={data.waiting_upload_jobs} onCancel={(job) => cancel.ask([job])} />
          <Typography variant="h2" sx={{ mb: 1.25 }}>
            {text.queue.waiting(waiting.length)}
          </Typography>
          {waiting.length === 0 ? (
            <Card>
              <EmptyState
                icon={Inbox}
                title={text.queue.emptyTitle}
                action={
                  <Button component={RouterLink} to={paths.folders()} variant="outlined">
                    {text.queue.emptyAction}
                  </Button>
                }
              >
                {text.queue.emptyText}
              </EmptyState>
            </Card>
          ) : (
            <WaitingList jobs={waiting} selected={selected} onToggle={toggle} onMove={move} onCancel={(job) => cancel.ask([job])} />
          )}
          {chosen.length > 0 && (
            <BulkBar
              label={text.queue.bulkLabel}
              actions={
                <>
                  <Button onClick={() => setSelected(new Set())}>{text.folders.clearSelection}</Button>
                  <ActionButton variant="outlined" onClick={() => move(chosenIds, "top")}>
                    {text.queue.moveTop}
                  </ActionButton>
                  {chosen.some((job) => !job.paused && !job.cancelling) && (
                    <ActionButton variant="outlined" disabled={control.busy} onClick={() => control.pause(chosen.filter((job) => !job.paused && !job.cancelling).map((job) => job.job_id))}>
                      {text.queue.pauseSelected}
                    </ActionButton>
                  )}
                  {chosen.some((job) => job.paused) && (
                    <ActionButton variant="outlined" disabled={control.busy} onClick={() => control.resume(chosen.filter((job) => job.paused).map((job) => job.job_id))}>
                      {text.queue.resumeSelected}
                    </ActionButton>
                  )}
                  <ActionButton variant="outlined" color="error" onClick={() => cancel.ask(chosen)}>
                    {text.queue.cancelSelected(chosen.length)}
                  </ActionButton>
                </>
              }
            >
              {text.queue.selected(chosen.length)}
            </BulkBar>
          )}
        </>
      )}
      {cancel.dialog}
    </>
  );
}

function UploadWaiters({ jobs, onCancel }: { jobs: JobSummary[]; onCancel: (job: JobSummary) => void }) {
  if (jobs.length === 0) return null;
  return (
    <Box component="section" sx={{ mb: 3 }}>
      <Typography variant="h2" sx={{ mb: 1.25 }}>
        {text.queue.waitingUpload}
      </Typography>
      <Card component="ul" sx={{ listStyle: "none", m: 0, p: 0 }}>
        {jobs.map((job) => (
          <Box component="li" key={job.job_id} sx={{ display: "flex", gap: 2, alignItems: "center", px: 2, minHeight: 48, "& + &": { borderTop: 1, borderColor: "divider" } }}>
            <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ flex: 1, minWidth: 0, py: 1, fontWeight: 560 }}>
              {job.folder_name}
            </Link>
            <Typography variant="caption" sx={{ color: "text.secondary", whiteSpace: "nowrap" }}>
              {[job.paused ? text.queue.paused : job.cancelling ? text.status.cancelling : null, job.archive_size_bytes === null ? null : bytes(job.archive_size_bytes)].filter(Boolean).join(" · ")}
            </Typography>
            <Box sx={{ display: "flex", alignItems: "center", gap: 0.75 }}>
              <JobControls job={job} onCancel={() => onCancel(job)} />
            </Box>
          </Box>
        ))}
      </Card>
    </Box>
  );
}
