import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { Link as RouterLink } from "react-router";

import type { JobSummary } from "../../api/types";
import { JobRow } from "../../components/JobRow";
import { useCancel } from "../../components/useCancel";
import { text } from "../../text/en";
import { paths } from "../../util/paths";

const MOST = 5;

/** Jobs of every kind that are at work: on their way into the history. */
export default function RunningNow({ jobs }: { jobs: JobSummary[] }) {
  const cancel = useCancel();
  return (
    <Box component="section" aria-labelledby="in-progress" sx={{ mb: 3 }}>
      <Box sx={{ display: "flex", alignItems: "center", justifyContent: "space-between", mb: 1 }}>
        <Typography variant="h2" id="in-progress">
          {text.history.running(jobs.length)}
        </Typography>
        <Button size="small" component={RouterLink} to={paths.queue()}>
          {text.history.toQueue}
        </Button>
      </Box>
      <Card sx={{ p: 2.5, display: "grid", gap: 2.5, gridTemplateColumns: "minmax(0, 1fr)" }}>
        {jobs.slice(0, MOST).map((job) => (
          <JobRow key={job.job_id} job={job} onCancel={() => cancel.ask([job])} />
        ))}
      </Card>
      {cancel.dialog}
    </Box>
  );
}
