import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Checkbox from "@mui/material/Checkbox";
import Link from "@mui/material/Link";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import Typography from "@mui/material/Typography";
import { Link as RouterLink } from "react-router";

import type { QueuedJob } from "../../api/types";
import { JobControls } from "../../components/JobControls";
import { Pager } from "../../components/Pager";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { ago, exactTime } from "../../util/time";
import { bytes } from "../../util/units";
import { useListState } from "../../util/useListState";
import { useNow } from "../../util/useNow";
import { useWide } from "../../util/useWide";
import { MoveButtons } from "./MoveButtons";
import type { Goal } from "./useMove";

interface Props {
  jobs: QueuedJob[];
  selected: ReadonlySet<string>;
  onToggle: (ids: string[], on: boolean) => void;
  onMove: (ids: string[], to: Goal) => void;
  onCancel: (job: QueuedJob) => void;
}

function reason(job: QueuedJob): string {
  if (job.cancelling) return text.status.cancelling;
  if (job.paused) return text.queue.paused;
  if (job.missing_bytes) return text.queue.missing(job.missing_bytes);
  return job.wait_reason ?? text.queue.turn;
}

const PAGE_SIZE = 50;

/** The queue comes whole, however long; a page of it is shown. */
export function WaitingList(props: Props) {
  const wide = useWide();
  const state = useListState();
  const page = Math.min(state.page, Math.max(1, Math.ceil(props.jobs.length / PAGE_SIZE)));
  const jobs = props.jobs.slice((page - 1) * PAGE_SIZE, page * PAGE_SIZE);
  return (
    <>
      {wide ? <WaitingTable {...props} jobs={jobs} /> : <WaitingCards {...props} jobs={jobs} />}
      {props.jobs.length > PAGE_SIZE && <Pager page={page} size={PAGE_SIZE} total={props.jobs.length} onPage={state.setPage} />}
    </>
  );
}

function WaitingTable({ jobs, selected, onToggle, onMove, onCancel }: Props) {
  const now = useNow(30_000);
  const chosen = jobs.filter((job) => selected.has(job.job_id)).length;
  return (
    <Card>
      <Table aria-label={text.queue.waiting(jobs.length)} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <TableCell padding="checkbox">
              <Checkbox
                checked={chosen === jobs.length}
                indeterminate={chosen > 0 && chosen < jobs.length}
                onChange={(_, on) => onToggle(jobs.map((job) => job.job_id), on)}
                slotProps={{ input: { "aria-label": text.queue.selectAll } }}
              />
            </TableCell>
            <TableCell sx={{ width: 56 }}>{text.queue.position}</TableCell>
            <TableCell>{text.queue.folder}</TableCell>
            <TableCell align="right" sx={{ width: 104 }}>
              {text.queue.size}
            </TableCell>
            <TableCell sx={{ width: "22%" }}>{text.queue.reason}</TableCell>
            <TableCell sx={{ width: 130 }}>{text.queue.by}</TableCell>
            <TableCell sx={{ width: 244 }}>{text.folders.action}</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {jobs.map((job) => (
            <TableRow key={job.job_id} hover selected={selected.has(job.job_id)} tabIndex={-1} data-row={job.job_id}>
              <TableCell padding="checkbox">
                <Checkbox
                  checked={selected.has(job.job_id)}
                  onChange={(_, on) => onToggle([job.job_id], on)}
                  slotProps={{ input: { "aria-label": text.folders.selectOne(job.folder_name) } }}
                />
              </TableCell>
              <TableCell>{job.position}</TableCell>
              <TableCell>
                <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ fontWeight: 560, color: "text.primary" }}>
                  {job.folder_name}
                </Link>
                {job.keep_source && (
                  <Typography component="span" variant="caption" sx={{ color: "text.secondary", ml: 1 }}>
                    {text.queue.keepsSource}
                  </Typography>
                )}
              </TableCell>
              <TableCell align="right">{job.folder_size_bytes === null ? "–" : bytes(job.folder_size_bytes)}</TableCell>
              <TableCell sx={{ color: "text.secondary" }}>{reason(job)}</TableCell>
              <TableCell title={exactTime(job.created_at)}>
                {job.created_by}
                <Typography component="span" variant="caption" sx={{ display: "block", color: "text.secondary" }}>
                  {ago(job.created_at, now)}
                </Typography>
              </TableCell>
              <TableCell>
                <Box sx={{ display: "flex", alignItems: "center", gap: 0.25, ml: -1 }}>
                  <MoveButtons job={job} last={jobs.length} onMove={(to) => onMove([job.job_id], to)} />
                  <JobControls job={{ ...job, status: "queued" }} onCancel={() => onCancel(job)} />
                </Box>
              </TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
    </Card>
  );
}

function WaitingCards({ jobs, selected, onToggle, onMove, onCancel }: Props) {
  const now = useNow(30_000);
  return (
    <Box component="ol" sx={{ listStyle: "none", p: 0, m: 0, display: "grid", gap: 1 }}>
      {jobs.map((job) => (
        <Card component="li" key={job.job_id} data-row={job.job_id} sx={{ display: "grid", gridTemplateColumns: "44px minmax(0, 1fr)", p: 1, pr: 1.5 }}>
          <Checkbox
            checked={selected.has(job.job_id)}
            onChange={(_, on) => onToggle([job.job_id], on)}
            slotProps={{ input: { "aria-label": text.folders.selectOne(job.folder_name) } }}
            sx={{ alignSelf: "start", width: 44, height: 44 }}
          />
          <Box sx={{ minWidth: 0, pt: 1.1 }}>
            <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ fontWeight: 580, color: "text.primary" }}>
              {job.position}. {job.folder_name}
            </Link>
            <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
              {job.folder_size_bytes === null ? "" : `${bytes(job.folder_size_bytes)} · `}
              {text.job.requestedBy(ago(job.created_at, now), job.created_by)}
            </Typography>
            <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
              {text.queue.reason} {reason(job)}
            </Typography>
            <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", justifyContent: "flex-end", columnGap: 0.5, mt: 0.25 }}>
              <MoveButtons job={job} last={jobs.length} onMove={(to) => onMove([job.job_id], to)} />
              <JobControls job={{ ...job, status: "queued" }} onCancel={() => onCancel(job)} />
            </Box>
          </Box>
        </Card>
      ))}
    </Box>
  );
}
