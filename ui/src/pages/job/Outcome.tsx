import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";

import type { JobDetail } from "../../api/types";
import { Figures } from "../../components/JobRow";
import { ProgressBar } from "../../components/ProgressBar";
import { StatusChip } from "../../components/StatusChip";
import { STATUS_LOOK, toneVar } from "../../components/status";
import { useMoving } from "../../components/useMoving";
import { text } from "../../text/en";
import { jobText } from "../../text/enJob";
import { hasEnded } from "../../api/jobCan";
import { duration, secondsBetween } from "../../util/time";
import { percent } from "../../util/units";
import { isReleased } from "./proven";
import { workspaceOutcome } from "./workspace";

/** What has become of the job, in sentences; the first is the outcome. Pure. */
export function outcome(job: JobDetail): string[] {
  if (job.kind !== "archive") return workspaceOutcome(job);
  const told = text.job.outcome;
  const took = job.started_at ? duration(secondsBetween(job.started_at, job.completed_at, Date.now())) : "";
  switch (job.status) {
    case "completed":
      return [told.completed(took), job.keep_source ? told.kept : told.emptied, ...(job.kept_count > 0 ? [told.keptSome(job.kept_count)] : []), ...(isReleased(job) ? [jobText.release.after] : [])];
    case "failed":
      return [job.error_message ?? told.failed, told.safe, told.next];
    case "cancelled":
      return [told.cancelled, told.safe];
    case "queued":
      return [told.queued(job.wait_reason), ...(job.missing_bytes ? [told.missing(job.missing_bytes)] : [])];
    case "compressed":
      return [told.compressed];
    case "verified":
      return [told.verified];
    default:
      return [job.current_operation];
  }
}

export function Outcome({ job }: { job: JobDetail }) {
  const { moving, stalled } = useMoving(job);
  const running = !hasEnded(job.status);
  const [first, ...more] = outcome(job);
  const color = toneVar(STATUS_LOOK[job.status].tone);
  return (
    <Card
      component="section"
      role="group"
      aria-labelledby="outcome"
      sx={{ p: 2.5, borderInlineStart: `4px solid ${color}`, backgroundColor: `color-mix(in srgb, ${color} 4%, var(--mui-palette-background-paper))` }}
    >
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.5 }}>
        <StatusChip job={job} />
        {running && job.status !== "queued" && <Figures job={job} moving={moving} stalled={stalled} />}
      </Box>
      <Typography id="outcome" data-outcome={job.status} sx={{ fontSize: "1.0625rem", fontWeight: 600, mt: 1.25 }}>
        {first}
      </Typography>
      {more.map((sentence) => (
        <Typography key={sentence} variant="body2" sx={{ color: "text.secondary", mt: 0.25 }}>
          {sentence}
        </Typography>
      ))}
      {running && (
        <Box sx={{ display: "grid", gridTemplateColumns: "minmax(0, 1fr) auto", alignItems: "center", gap: 1.5, mt: 2 }}>
          <ProgressBar bar={{ kind: "determinate", value: job.progress_percent }} label={text.progress.label(job.folder_name)} moving={moving} height={10} />
          <Typography component="span" sx={{ fontWeight: 650, minWidth: 44, textAlign: "end", fontVariantNumeric: "tabular-nums" }}>
            {percent(job.progress_percent / 100)}
          </Typography>
        </Box>
      )}
    </Card>
  );
}
