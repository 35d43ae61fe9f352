import Box from "@mui/material/Box";
import { useEffect, useState } from "react";

import type { JobSummary } from "../../api/types";
import { text } from "../../text/en";

const AT_MOST_EVERY_MS = 15_000;

/** For screen readers: a job that enters another stage is said, politely and at most every 15 seconds; percents are not. */
export function Announcer({ jobs }: { jobs: JobSummary[] }) {
  const summary = jobs.map((job) => text.progress.summary(job.folder_name, text.status[job.status])).join(". ");
  const [said, setSaid] = useState({ summary, at: 0 });
  useEffect(() => {
    if (summary === said.summary) return;
    const wait = Math.max(0, said.at + AT_MOST_EVERY_MS - Date.now());
    const timer = window.setTimeout(() => setSaid({ summary, at: Date.now() }), wait);
    return () => window.clearTimeout(timer);
  }, [summary, said]);
  return (
    <Box aria-live="polite" sx={{ position: "absolute", width: 1, height: 1, overflow: "hidden", clipPath: "inset(50%)", whiteSpace: "nowrap" }} style={{ width: 1, height: 1 }}>
      {said.at > 0 ? said.summary : ""}
    </Box>
  );
}
