import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import IconButton from "@mui/material/IconButton";
import Link from "@mui/material/Link";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import TableSortLabel from "@mui/material/TableSortLabel";
import Typography from "@mui/material/Typography";
import { ArrowDown, ArrowUp } from "lucide-react";
import type { ReactNode } from "react";
import { Link as RouterLink, useNavigate } from "react-router";

import type { JobSummary } from "../../api/types";
import { Pick as PickOne } from "../../components/Pick";
import { StatusChip } from "../../components/StatusChip";
import { useClear } from "../../components/useClear";
import { text } from "../../text/en";
import { historyText } from "../../text/enHistory";
import { clearText } from "../../text/enClear";
import { paths } from "../../util/paths";
import { dateTime, duration, exactTime, secondsBetween } from "../../util/time";
import { bytes, saved } from "../../util/units";
import { useWide } from "../../util/useWide";
import { type Direction, type Sort, SORTS } from "./historyFilter";

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

interface Props {
  jobs: JobSummary[];
  footer?: ReactNode;
  /** How they are ordered; without it the columns cannot be chosen. */
  order?: { sort: Sort; order: Direction };
  onSort?: (by: Sort) => void;
}

/** Ended jobs. A click anywhere on a row opens it; the link in it is for keyboards and new tabs. */
export function EndedList(props: Props) {
  return useWide() ? <EndedTable {...props} /> : <EndedCards {...props} />;
}

function Column({ by, label, order, onSort, ...cell }: { by: Sort; label: string; align?: "right"; width?: number } & Pick<Props, "order" | "onSort">) {
  const active = order?.sort === by;
  return (
    <TableCell align={cell.align} sx={{ width: cell.width }} sortDirection={active ? order.order : false}>
      {order ? (
        <TableSortLabel active={active} direction={active ? order.order : by === "name" ? "asc" : "desc"} onClick={() => onSort?.(by)}>
          {label}
        </TableSortLabel>
      ) : (
        label
      )}
    </TableCell>
  );
}

function EndedTable({ jobs, footer, order, onSort }: Props) {
  const navigate = useNavigate();
  return (
    <Card>
      <Table aria-label={text.history.title} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <Column by="name" label={text.history.folder} order={order} onSort={onSort} />
            <TableCell sx={{ width: 136 }}>{text.history.result}</TableCell>
            <Column by="size" label={text.history.size} align="right" width={130} order={order} onSort={onSort} />
            <Column by="duration" label={text.history.took} align="right" width={125} order={order} onSort={onSort} />
            <Column by="ended" label={text.history.ended} width={205} order={order} onSort={onSort} />
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
                if (!(event.target as Element).closest("a, button")) void navigate(paths.job(job.job_id));
              }}
              sx={{ cursor: "pointer" }}
            >
              <TableCell>
                <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ fontWeight: 560, color: "text.primary" }}>
                  {job.folder_name}
                </Link>
                {job.kind !== "archive" && (
                  <Typography component="span" variant="caption" sx={{ color: "text.secondary", ml: 1 }}>
                    {text.kind[job.kind]}
                  </Typography>
                )}
                {job.status === "failed" && job.error_message && (
                  <Typography variant="caption" component="p" noWrap title={job.error_message} sx={{ color: "text.secondary" }}>
                    {job.error_message}
                  </Typography>
                )}
              </TableCell>
              <TableCell>
                <StatusChip job={job} />
                {job.status === "failed" && <Dismiss job={job} />}
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

function EndedCards({ jobs, footer, order, onSort }: Props) {
  return (
    <>
      {order && onSort && (
        <Box sx={{ display: "flex", gap: 1, mb: 1.5 }}>
          <PickOne label={historyText.sortBy} value={order.sort} options={SORTS.map((sort) => [sort, historyText.sorts[sort]] as const)} onChange={onSort} sx={{ minWidth: 170 }} />
          <IconButton aria-label={historyText.reverse} title={historyText.reverse} onClick={() => onSort(order.sort)}>
            {order.order === "asc" ? <ArrowUp size={18} aria-hidden /> : <ArrowDown size={18} aria-hidden />}
          </IconButton>
        </Box>
      )}
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
                {[job.kind !== "archive" && text.kind[job.kind], size(job), ratio(job), took(job), job.completed_at && dateTime(job.completed_at), job.created_by].filter((part) => part && part !== UNKNOWN).join(" · ")}
              </Typography>
            </Box>
            {job.status === "failed" && (
              <Box sx={{ px: 1, pb: 1 }}>
                <Dismiss job={job} />
              </Box>
            )}
          </Card>
        ))}
      </Box>
      {footer}
    </>
  );
}

function Dismiss({ job }: { job: JobSummary }) {
  const dismissal = useClear();
  return (
    <Button size="small" title={clearText.hint} disabled={dismissal.busy} aria-label={clearText.dismissOne(job.folder_name)} onClick={() => dismissal.clear([job.job_id])} sx={{ ml: -0.5 }}>
      {clearText.dismiss}
    </Button>
  );
}
