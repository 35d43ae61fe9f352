import Box from "@mui/material/Box";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { Link as RouterLink } from "react-router";

import type { JobSummary } from "../api/types";
import { text } from "../text/en";
import { laneBar } from "../util/job";
import { paths } from "../util/paths";
import { duration, secondsBetween, timeOfDay } from "../util/time";
import { percent, rate } from "../util/units";
import { useNow } from "../util/useNow";
import { JobControls } from "./JobControls";
import { ProgressBar } from "./ProgressBar";
import { StatusChip } from "./StatusChip";
import { useMoving } from "./useMoving";

/** A job of any kind that has not ended: its step, bar, figures and controls. */
export function JobRow({ job, onCancel }: { job: JobSummary; onCancel: (job: JobSummary) => void }) {
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
            {job.kind !== "archive" && `${text.kind[job.kind]} · ${job.created_by} · `}
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
        <JobControls job={job} onCancel={() => onCancel(job)} />
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
