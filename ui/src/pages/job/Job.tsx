import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Link from "@mui/material/Link";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Archive, Check, ChevronLeft, CircleX, Pause, Play, RotateCcw, SearchX } from "lucide-react";
import { lazy, type ReactNode, Suspense } from "react";
import { Link as RouterLink, useNavigate, useParams } from "react-router";

import { api, ApiError, ask } from "../../api/client";
import { hasEnded, jobCan } from "../../api/jobCan";
import { keys, queries } from "../../api/queries";
import { usePolling } from "../../api/sync";
import type { JobDetail } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { PageHeader } from "../../components/PageHeader";
import { EmptyState, ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { useCancel } from "../../components/useCancel";
import { useClear } from "../../components/useClear";
import { useControl } from "../../components/useControl";
import { text } from "../../text/en";
import { clearText } from "../../text/enClear";
import { paths } from "../../util/paths";
import { Facts } from "./Facts";
import { Outcome } from "./Outcome";
import { useQueueing } from "./useQueueing";
import { Proofs } from "./Proofs";
import { Timeline } from "./Timeline";

const LogViewer = lazy(() => import("./LogViewer"));

export function Job() {
  const { jobId = "" } = useParams();
  const job = useQuery({ ...queries.job(jobId), refetchInterval: usePolling() });
  if (job.data) return <Detail job={job.data} stale={<StaleNote query={job} />} />;
  if (job.error instanceof ApiError && (job.error.status === 404 || job.error.status === 400)) return <NoSuchJob message={job.error.message} />;
  return (
    <>
      <PageHeader title={text.job.title} />
      {job.error ? <ErrorPanel error={job.error} onRetry={() => job.refetch()} /> : <SkeletonRows rows={8} height={56} />}
    </>
  );
}

function NoSuchJob({ message }: { message: string }) {
  return (
    <>
      <PageHeader title={text.error.jobNotFound} />
      <EmptyState
        icon={SearchX}
        title={message}
        action={
          <Button component={RouterLink} to={paths.history()} variant="outlined">
            {text.queue.viewHistory}
          </Button>
        }
      />
    </>
  );
}

function Detail({ job, stale }: { job: JobDetail; stale: ReactNode }) {
  const ended = hasEnded(job.status);
  const team = job.kind === "archive";
  const back = ended ? { to: paths.history(), label: text.job.toHistory } : { to: paths.queue(), label: text.job.toQueue };
  const trail = team ? back : { to: paths.files(), label: text.nav.files };
  return (
    <>
      <PageHeader
        title={job.folder_name}
        trail={
          <Box component="nav" aria-label={text.job.trail} sx={{ mb: 0.75, fontSize: "0.8125rem" }}>
            <Link component={RouterLink} to={trail.to} color="text.secondary" sx={{ minHeight: 24, "@media (pointer: coarse)": { minHeight: 44 }, display: "inline-flex", alignItems: "center", gap: 0.5 }}>
              <ChevronLeft size={15} aria-hidden />
              {trail.label}
            </Link>
          </Box>
        }
        actions={<Actions job={job} />}
      />
      {stale}
      <Box sx={{ display: "grid", gap: 2, gridTemplateColumns: "minmax(0, 1fr)" }}>
        <Outcome job={job} />
        {job.warnings.length > 0 && (
          <Alert severity="warning">
            <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, maxHeight: 220, overflowY: "auto", display: "grid", gap: 0.5 }}>
              {[...new Set(job.warnings)].map((warning) => (
                <li key={warning}>{warning}</li>
              ))}
            </Box>
          </Alert>
        )}
        {job.notes.length > 0 && (
          <Box component="ul" aria-label={text.job.notes} sx={{ listStyle: "none", m: 0, px: 0.5, py: 0, fontSize: "0.8125rem", color: "text.secondary" }}>
            {[...new Set(job.notes)].map((note) => (
              <li key={note}>{note}</li>
            ))}
          </Box>
        )}
        {team && <Timeline job={job} />}
        <Box sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", lg: team ? "repeat(2, minmax(0, 1fr))" : "minmax(0, 1fr)" } }}>
          {team && <Proofs job={job} />}
          <Facts job={job} />
        </Box>
        <Suspense fallback={<SkeletonRows rows={6} height={28} />}>
          <LogViewer jobId={job.job_id} folder={job.folder_name} />
        </Suspense>
      </Box>
    </>
  );
}

function Actions({ job }: { job: JobDetail }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const cancel = useCancel();
  const refresh = () => {
    for (const queryKey of [keys.job(job.job_id), keys.jobs, keys.queue, keys.folders]) void client.invalidateQueries({ queryKey });
  };
  const retry = useMutation({
    mutationFn: () => ask(api.POST("/api/jobs/{job_id}/retry", { params: { path: { job_id: job.job_id } } })),
    onSuccess: () => toast(text.job.retried(job.folder_name)),
    onError: (error) => toast(error.message, "error"),
    onSettled: refresh,
  });
  const again = useQueueing({
    onQueued: (made) => {
      toast(text.job.again(job.folder_name));
      void navigate(paths.job(made));
    },
    onSettled: refresh,
  });
  const control = useControl();
  const dismissal = useClear();
  return (
    <>
      {jobCan.pause(job) && (
        <ActionButton variant="outlined" startIcon={<Pause size={16} aria-hidden />} loading={control.busy} onClick={() => control.pause([job.job_id])}>
          {text.job.pause}
        </ActionButton>
      )}
      {jobCan.resume(job) && (
        <ActionButton variant="contained" startIcon={<Play size={16} aria-hidden />} loading={control.busy} onClick={() => control.resume([job.job_id])}>
          {text.job.resume}
        </ActionButton>
      )}
      {jobCan.retry(job) && !job.request?.encrypted && (
        <ActionButton variant="contained" startIcon={<RotateCcw size={16} aria-hidden />} loading={retry.isPending} onClick={() => retry.mutate()}>
          {text.job.retry}
        </ActionButton>
      )}
      {job.status === "failed" && !job.cleared_at && (
        <ActionButton variant="outlined" startIcon={<Check size={16} aria-hidden />} loading={dismissal.busy} title={clearText.hint} onClick={() => dismissal.clear([job.job_id])}>
          {clearText.dismiss}
        </ActionButton>
      )}
      {job.kind === "archive" && jobCan.archiveAgain(job) && (
        <ActionButton variant="outlined" startIcon={<Archive size={16} aria-hidden />} loading={again.busy} onClick={() => again.start(job.source_path, job.keep_source)}>
          {text.job.archiveAgain}
        </ActionButton>
      )}
      {!hasEnded(job.status) && (
        <ActionButton
          variant="outlined"
          color="error"
          startIcon={<CircleX size={16} aria-hidden />}
          disabled={!jobCan.cancel(job)}
          title={jobCan.cancel(job) || job.cancelling ? undefined : text.cancel.notNow}
          onClick={() => cancel.ask([job])}
        >
          {job.cancelling ? text.job.cancelling : text.job.cancel}
        </ActionButton>
      )}
      {cancel.dialog}
      {again.waiting && (
        <Alert severity="info" role="status" sx={{ flexBasis: "100%", maxWidth: 560 }}>
          {text.job.againSoon}
        </Alert>
      )}
    </>
  );
}
