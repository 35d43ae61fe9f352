import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Link from "@mui/material/Link";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";
import { Link as RouterLink, useNavigate } from "react-router";

import type { JobSummary } from "../../api/types";
import { StatusChip } from "../../components/StatusChip";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { dateTime, duration, exactTime, secondsBetween } from "../../util/time";
import { bytes, saved } from "../../util/units";
import { useWide } from "../../util/useWide";

const UNKNOWN = "–";

function took(job: JobSummary): string {
  return job.started_at && job.completed_at ? duration(secondsBetween(job.started_at, job.completed_at, 0)) : UNKNOWN;
}

function size(job: JobSummary): string {
  return job.folder_size_bytes === null ? UNKNOWN : bytes(job.folder_size_bytes);
}

function ratio(job: JobSummary): string | null {
  const share = saved(job.folder_size_bytes, job.archive_size_bytes);
  return share !== null && share >= 0.005 && job.status === "completed" ? text.history.ratio(share) : null;
}

/** Ended jobs, newest first. A click anywhere on a row opens it; the link in it is for keyboards and new tabs. */
export function EndedList({ jobs, footer }: { jobs: JobSummary[]; footer?: ReactNode }) {
  return useWide() ? <EndedTable jobs={jobs} footer={footer} /> : <EndedCards jobs={jobs} footer={footer} />;
}

function EndedTable({ jobs, footer }: { jobs: JobSummary[]; footer?: ReactNode }) {
  const navigate = useNavigate();
  return (
    <Card>
      <Table aria-label={text.history.title} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <TableCell>{text.history.folder}</TableCell>
            <TableCell sx={{ width: 136 }}>{text.history.result}</TableCell>
            <TableCell align="right" sx={{ width: 130 }}>
              {text.history.size}
            </TableCell>
            <TableCell align="right" sx={{ width: 110 }}>
              {text.history.took}
            </TableCell>
            <TableCell sx={{ width: 205 }}>{text.history.ended}</TableCell>
            <TableCell sx={{ width: 140 }}>{text.history.by}</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {jobs.map((job) => (
            <TableRow
              key={job.job_id}
              hover
              tabIndex={-1}
              data-row={job.job_id}
              onClick={(event) => {
                if (!(event.target as Element).closest("a")) void navigate(paths.job(job.job_id));
              }}
              sx={{ cursor: "pointer" }}
            >
              <TableCell>
                <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ fontWeight: 560, color: "text.primary" }}>
                  {job.folder_name}
                </Link>
                {job.status === "failed" && job.error_message && (
                  <Typography variant="caption" component="p" noWrap title={job.error_message} sx={{ color: "text.secondary" }}>
                    {job.error_message}
                  </Typography>
                )}
              </TableCell>
              <TableCell>
                <StatusChip job={job} />
              </TableCell>
              <TableCell align="right">
                {size(job)}
                {ratio(job) && (
                  <Typography variant="caption" component="span" sx={{ display: "block", color: "text.secondary" }}>
                    {ratio(job)}
                  </Typography>
                )}
              </TableCell>
              <TableCell align="right">{took(job)}</TableCell>
              <TableCell title={job.completed_at ? exactTime(job.completed_at) : undefined}>{job.completed_at ? dateTime(job.completed_at) : "–"}</TableCell>
              <TableCell>{job.created_by}</TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
      {footer}
    </Card>
  );
}

function EndedCards({ jobs, footer }: { jobs: JobSummary[]; footer?: ReactNode }) {
  return (
    <>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, display: "grid", gap: 1 }}>
        {jobs.map((job) => (
          <Card component="li" key={job.job_id} data-row={job.job_id}>
            <Box component={RouterLink} to={paths.job(job.job_id)} sx={{ display: "block", p: 1.75, color: "text.primary", textDecoration: "none" }}>
              <Box sx={{ display: "flex", gap: 1.5, alignItems: "flex-start", justifyContent: "space-between" }}>
                <Typography sx={{ fontWeight: 580, minWidth: 0 }}>{job.folder_name}</Typography>
                <StatusChip job={job} />
              </Box>
              {job.status === "failed" && job.error_message && (
                <Typography variant="caption" component="p" sx={{ mt: 0.5, color: "text.secondary" }}>
                  {job.error_message}
                </Typography>
              )}
              <Typography variant="caption" component="p" sx={{ mt: 0.5, color: "text.secondary" }}>
                {[size(job), ratio(job), took(job), job.completed_at && dateTime(job.completed_at), job.created_by].filter((part) => part && part !== UNKNOWN).join(" · ")}
              </Typography>
            </Box>
          </Card>
        ))}
      </Box>
      {footer}
    </>
  );
}
