import Alert from "@mui/material/Alert";
import AlertTitle from "@mui/material/AlertTitle";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Link from "@mui/material/Link";
import Typography from "@mui/material/Typography";
import { Link as RouterLink } from "react-router";

import { MOST_FAILURES } from "../../api/queries";
import type { JobSummary } from "../../api/types";
import { useClear } from "../../components/useClear";
import { text } from "../../text/en";
import { clearText } from "../../text/enClear";
import { paths } from "../../util/paths";
import { ago, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";

const MOST_SHOWN = 5;

/** Failed jobs that nobody has looked after. */
export function FailedJobs({ jobs }: { jobs: JobSummary[] }) {
  const now = useNow(30_000);
  const dismissal = useClear();
  return (
    <Alert
      severity="error"
      role="group"
      aria-label={clearText.title}
      sx={{ "& .MuiAlert-message": { flex: 1, minWidth: 0 } }}
    >
      <AlertTitle component="h2" sx={{ fontSize: "0.9375rem" }}>
        {clearText.heading(jobs.length, jobs.length < MOST_FAILURES)}
      </AlertTitle>
      <Typography variant="body2">{clearText.intro}</Typography>
      <Box component="ul" sx={{ listStyle: "none", m: 0, mt: 1, p: 0 }}>
        {jobs.slice(0, MOST_SHOWN).map((job) => (
          <Box component="li" key={job.job_id} data-failure={job.job_id} sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 1.5, py: 0.5 }}>
            <Box sx={{ flex: "1 1 240px", minWidth: 0 }}>
              <Link component={RouterLink} to={paths.job(job.job_id)} color="inherit" sx={{ fontWeight: 600 }}>
                {job.folder_name}
              </Link>
              <Typography component="span" variant="body2" sx={{ display: "block", overflowWrap: "anywhere" }}>
                {job.error_message}
              </Typography>
              <Typography component="span" variant="caption" title={job.completed_at ? exactTime(job.completed_at) : undefined} sx={{ display: "block", opacity: 0.85 }}>
                {[text.kind[job.kind], job.created_by, job.completed_at && ago(job.completed_at, now)].filter(Boolean).join(" · ")}
              </Typography>
            </Box>
            <Button color="inherit" size="small" title={clearText.hint} disabled={dismissal.busy} aria-label={clearText.dismissOne(job.folder_name)} onClick={() => dismissal.clear([job.job_id])}>
              {clearText.dismiss}
            </Button>
          </Box>
        ))}
      </Box>
      <Box sx={{ display: "flex", flexWrap: "wrap", gap: 1, mt: 0.5, ml: -1.5 }}>
        <Button color="inherit" size="small" component={RouterLink} to={paths.history({ status: "failed" })}>
          {clearText.all}
        </Button>
        {jobs.length > 1 && (
          <Button color="inherit" size="small" title={clearText.hint} disabled={dismissal.busy} onClick={() => dismissal.clear(jobs.map((job) => job.job_id))}>
            {clearText.dismissAll}
          </Button>
        )}
      </Box>
    </Alert>
  );
}
