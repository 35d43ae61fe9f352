import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { lazy, Suspense } from "react";

import type { JobSummary } from "../../api/types";
import { useUploads } from "../../api/uploads";
import { JobRow } from "../../components/JobRow";
import { text } from "../../text/en";

const UploadList = lazy(async () => ({ default: (await import("../files/UploadPanel")).UploadList }));
const COPYING: ReadonlySet<string> = new Set(["copying", "compressing", "verifying"]);

interface Props {
  label: string;
  /** Archive jobs at work. */
  active: JobSummary[];
  /** Packs, archives and extractions that have not ended. */
  tasks: JobSummary[];
  onCancel: (job: JobSummary) => void;
}

/** What is at work, by who works on it; the files that this browser sends come last. */
export function Lanes({ label, active, tasks, onCancel }: Props) {
  const uploading = useUploads().length > 0;
  return (
    <Box component="section" aria-label={label} sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", lg: "repeat(2, minmax(0, 1fr))" } }}>
      <Lane title={text.queue.copyLane} idle={text.queue.idleCopy} jobs={active.filter((job) => COPYING.has(job.status))} onCancel={onCancel} />
      <Lane title={text.queue.uploadLane} idle={text.queue.idleUpload} jobs={active.filter((job) => !COPYING.has(job.status))} onCancel={onCancel} />
      <Box sx={{ gridColumn: "1 / -1" }}>
        <Lane title={text.queue.taskLane} idle={text.queue.idleTasks} jobs={tasks} onCancel={onCancel} />
      </Box>
      {uploading && (
        <Box sx={{ gridColumn: "1 / -1" }}>
          <Suspense fallback={null}>
            <UploadList />
          </Suspense>
        </Box>
      )}
    </Box>
  );
}

function Lane({ title, idle, jobs, onCancel }: { title: string; idle: string; jobs: JobSummary[]; onCancel: (job: JobSummary) => void }) {
  return (
    <Card sx={{ p: 2.5, minHeight: 112, height: "100%", display: "flex", flexDirection: "column" }}>
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
            <JobRow key={job.job_id} job={job} onCancel={onCancel} />
          ))}
        </Box>
      )}
    </Card>
  );
}
