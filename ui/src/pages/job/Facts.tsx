import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";

import type { JobDetail } from "../../api/types";
import { CopyText } from "../../components/CopyText";
import { text } from "../../text/en";
import { dateTimeSeconds, duration, exactTime, secondsBetween } from "../../util/time";
import { bytes, count, exactBytes, percent, saved } from "../../util/units";
import { useNow } from "../../util/useNow";
import { workspaceFacts } from "./workspace";

function size(value: number | null): ReactNode {
  return value === null ? null : <span title={exactBytes(value)}>{bytes(value)}</span>;
}

function archiveSize(job: JobDetail): ReactNode {
  const share = saved(job.folder_size_bytes, job.archive_size_bytes);
  if (job.archive_size_bytes === null || share === null || share < 0.005) return size(job.archive_size_bytes);
  return <span title={exactBytes(job.archive_size_bytes)}>{text.job.smaller(bytes(job.archive_size_bytes), percent(share))}</span>;
}

function time(value: string | null): ReactNode {
  return value && <span title={exactTime(value)}>{dateTimeSeconds(value)}</span>;
}

export function Facts({ job }: { job: JobDetail }) {
  const now = useNow(job.started_at && !job.completed_at ? 1000 : 0);
  const took = job.started_at && duration(secondsBetween(job.started_at, job.completed_at, now), 3);
  const own: [string, ReactNode][] = [
    ...workspaceFacts(job),
    [text.job.requested, text.job.requestedBy(dateTimeSeconds(job.created_at), job.created_by)],
    [text.job.started, time(job.started_at)],
    [text.job.ended, time(job.completed_at)],
    [text.job.took, took],
    [text.job.retries, text.job.retriesOf(job.retries.automatic, job.retries.requested)],
    [text.job.id, <CopyText key="id" value={job.job_id} what={text.job.id} />],
  ];
  const archived: [string, ReactNode][] = [
    [text.job.source, <CopyText key="source" value={job.source_path} what={text.job.source} />],
    [text.job.destination, job.globus_destination_path && <CopyText key="destination" value={job.globus_destination_path} what={text.job.destination} />],
    [text.job.folderSize, size(job.folder_size_bytes)],
    [text.job.archiveSize, archiveSize(job)],
    [text.job.files, job.file_count === null ? null : count(job.file_count)],
    [text.job.requested, text.job.requestedBy(dateTimeSeconds(job.created_at), job.created_by)],
    [text.job.started, time(job.started_at)],
    [text.job.ended, time(job.completed_at)],
    [text.job.took, took],
    [text.job.retries, text.job.retriesOf(job.retries.automatic, job.retries.requested)],
    [text.job.task, job.globus_task_id && <CopyText key="task" value={job.globus_task_id} what={text.job.task} />],
    [text.job.sha256, job.archive && <CopyText key="sha" value={job.archive.sha256} what={text.job.sha256} />],
    [text.job.id, <CopyText key="id" value={job.job_id} what={text.job.id} />],
  ];
  const rows = job.kind === "archive" ? archived : own;
  return (
    <Card component="section" aria-labelledby="facts-title" sx={{ p: 2.5 }}>
      <Typography variant="h2" id="facts-title" sx={{ mb: 1.5 }}>
        {text.job.facts}
      </Typography>
      <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "minmax(84px, auto) minmax(0, 1fr)", columnGap: 2, rowGap: 1, fontSize: "0.875rem" }}>
        {rows.map(([label, value]) => (
          <Box key={label} sx={{ display: "contents" }}>
            <Box component="dt" sx={{ color: "text.secondary" }}>
              {label}
            </Box>
            <Box component="dd" sx={{ m: 0, minWidth: 0, color: value ? "text.primary" : "text.secondary" }}>
              {value ?? "–"}
            </Box>
          </Box>
        ))}
      </Box>
    </Card>
  );
}
