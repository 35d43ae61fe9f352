import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { Link as RouterLink } from "react-router";

import { jobCan } from "../../api/jobCan";
import type { JobSummary } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { ProgressBar } from "../../components/ProgressBar";
import { StatusChip } from "../../components/StatusChip";
import { PauseButton } from "./PauseButton";
import { useMoving } from "../../components/useMoving";
import { text } from "../../text/en";
import { laneBar } from "../../util/job";
import { paths } from "../../util/paths";
import { duration, secondsBetween, timeOfDay } from "../../util/time";
import { percent, rate } from "../../util/units";
import { useNow } from "../../util/useNow";

export const COPYING: ReadonlySet<string> = new Set(["copying", "compressing", "verifying"]);

interface Props {
  title: string;
  idle: string;
  jobs: JobSummary[];
  onCancel: (job: JobSummary) => void;
}

export function Lane({ title, idle, jobs, onCancel }: Props) {
  return (
    <Card sx={{ p: 2.5, minHeight: { xs: 112, md: 164 }, display: "flex", flexDirection: "column" }}>
      <Typography variant="h2" sx={{ mb: 1.5, color: "text.secondary", fontSize: "0.875rem" }}>
        {title}
      </Typography>
      {jobs.length === 0 ? (
        <Box sx={{ flex: 1, display: "grid", alignContent: "center" }}>
          <Typography sx={{ fontWeight: 600 }}>{text.queue.idle}</Typography>
          <Typography variant="body2" sx={{ color: "text.secondary" }}>
            {idle}
          </Typography>
        </Box>
      ) : (
        <Box sx={{ display: "grid", gap: 2.5 }}>
          {jobs.map((job) => (
            <Work key={job.job_id} job={job} onCancel={onCancel} />
          ))}
        </Box>
      )}
    </Card>
  );
}

function Work({ job, onCancel }: { job: JobSummary; onCancel: (job: JobSummary) => void }) {
  const { moving, stalled } = useMoving(job);
  const bar = laneBar(job);
  const step = job.step ?? job.current_operation;
  return (
    <Box data-job={job.job_id}>
      <Box sx={{ display: "flex", alignItems: "flex-start", gap: 1.5, mb: 1 }}>
        <Box sx={{ flex: 1, minWidth: 0 }}>
          <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ fontWeight: 620, fontSize: "1.0625rem", color: "text.primary" }}>
            {job.folder_name}
          </Link>
          <Typography variant="body2" sx={{ color: "text.secondary" }}>
            {job.current_operation === step || !job.step ? step : job.cancelling || job.paused || job.wait_reason ? job.current_operation : step}
          </Typography>
        </Box>
        <Typography component="span" sx={{ fontVariantNumeric: "tabular-nums", fontSize: "1.25rem", fontWeight: 650, letterSpacing: "-0.02em", lineHeight: 1.3 }}>
          {bar.kind === "determinate" ? percent(bar.value / 100) : ""}
        </Typography>
      </Box>
      <ProgressBar bar={bar} label={text.progress.label(job.folder_name)} step={step} moving={moving} />
      <Box sx={{ display: "flex", alignItems: "center", gap: 1.5, mt: 1.5 }}>
        <Box sx={{ flex: 1, minWidth: 0, display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 1.5, rowGap: 0.5 }}>
          <StatusChip job={job} />
          <Figures job={job} moving={moving} stalled={stalled} />
        </Box>
        <PauseButton job={job} />
        <ActionButton size="small" variant="outlined" disabled={!jobCan.cancel(job)} title={jobCan.cancel(job) || job.cancelling ? undefined : text.cancel.notNow} onClick={() => onCancel(job)} aria-label={text.queue.cancelOne(job.folder_name)}>
          {text.queue.cancel}
        </ActionButton>
      </Box>
    </Box>
  );
}

/** Bytes, speed and the time left, as far as they are known; without any, how long it has been. */
export function Figures({ job, moving, stalled }: { job: JobSummary; moving: boolean; stalled: number | null }) {
  const known = job.bytes_done !== null && job.bytes_total !== null && job.bytes_total > 0;
  const now = useNow(known ? 0 : 1000);
  const parts: string[] = [];
  if (known) parts.push(text.progress.bytes(job.bytes_done ?? 0, job.bytes_total ?? 0));
  else parts.push(text.progress.unknown(duration(Math.max(0, secondsBetween(job.status_since, null, now)))));
  if (moving && job.bytes_per_second) parts.push(rate(job.bytes_per_second));
  if (moving && job.eta_seconds) parts.push(text.progress.eta(job.eta_seconds));
  if (job.retry_count > 0) parts.push(text.progress.retries(job.retry_count));
  if (!moving && stalled === null && !job.paused) parts.push(text.progress.frozen);
  return (
    <Typography variant="caption" sx={{ color: "text.secondary", fontVariantNumeric: "tabular-nums" }}>
      {stalled !== null && (
        <Box component="span" data-stalled="" sx={{ color: "warning.main", fontWeight: 600 }}>
          {text.progress.stalled(timeOfDay(stalled))}
          {" · "}
        </Box>
      )}
      {parts.join(" · ")}
    </Typography>
  );
}
