import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Link from "@mui/material/Link";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import Typography from "@mui/material/Typography";
import { CircleCheck, CircleX } from "lucide-react";
import { Link as RouterLink } from "react-router";

import type { ServiceInstance, SystemStatus } from "../../api/types";
import { text } from "../../text/en";
import { adminText } from "../../text/enAdmin";
import { paths } from "../../util/paths";
import { ago, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";
import { useWide } from "../../util/useWide";

/** Every process of every service: is it alive, which version, what it holds and for how long. */
export function Instances({ status }: { status: SystemStatus }) {
  const wide = useWide();
  const now = useNow(1000);
  const shared = { instances: ordered(status.services), version: status.version, now };
  return (
    <section aria-labelledby="services-title">
      <Typography variant="h2" id="services-title" sx={{ mt: 1, mb: 1.25 }}>
        {adminText.system.services}
      </Typography>
      {wide ? <InstanceTable {...shared} /> : <InstanceCards {...shared} />}
    </section>
  );
}

/** The living first; within a service the youngest first. Pure. */
export function ordered(instances: ServiceInstance[]): ServiceInstance[] {
  return instances.toSorted(
    (a, b) => Number(b.alive) - Number(a.alive) || a.service.localeCompare(b.service) || b.started_at.localeCompare(a.started_at),
  );
}

interface Props {
  instances: ServiceInstance[];
  version: string;
  now: number;
}

function Alive({ instance }: { instance: ServiceInstance }) {
  const Icon = instance.alive ? CircleCheck : CircleX;
  return (
    <Box component="span" sx={{ display: "inline-flex", alignItems: "center", gap: 0.75, fontWeight: 560, whiteSpace: "nowrap", color: instance.alive ? "success.main" : "error.main" }}>
      <Icon size={15} aria-hidden />
      {instance.alive ? adminText.system.alive : adminText.system.silent}
    </Box>
  );
}

function Version({ instance, version }: { instance: ServiceInstance; version: string }) {
  return (
    <>
      {instance.version}
      {instance.version !== version && (
        <Typography component="span" variant="caption" sx={{ display: "block", color: "warning.main" }}>
          {adminText.system.otherVersion}
        </Typography>
      )}
    </>
  );
}

function Held({ instance, now }: { instance: ServiceInstance; now: number }) {
  if (instance.jobs.length === 0) return adminText.system.holdsNothing;
  return instance.jobs.map((job) => (
    <Box key={job.job_id}>
      <Link component={RouterLink} to={paths.job(job.job_id)} sx={{ fontWeight: 560 }}>
        {job.folder_name}
      </Link>
      <Typography component="span" variant="caption" sx={{ display: "block", color: "text.secondary" }}>
        {text.status[job.status]}, {adminText.system.lease((new Date(job.lease_until).getTime() - now) / 1000)}
      </Typography>
    </Box>
  ));
}

function InstanceTable({ instances, version, now }: Props) {
  return (
    <Card>
      <Table aria-label={adminText.system.services} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <TableCell>{adminText.system.instance}</TableCell>
            <TableCell sx={{ width: 116 }}>{adminText.system.state}</TableCell>
            <TableCell sx={{ width: 110 }}>{adminText.system.version}</TableCell>
            <TableCell sx={{ width: 140 }}>{adminText.system.started}</TableCell>
            <TableCell sx={{ width: 150 }}>{adminText.system.heard}</TableCell>
            <TableCell sx={{ width: "26%" }}>{adminText.system.holds}</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {instances.map((instance) => (
            <TableRow key={instance.instance} data-instance={instance.service}>
              <TableCell>
                <Box sx={{ fontWeight: 580, textTransform: "capitalize" }}>{instance.service}</Box>
                <Typography variant="caption" component="span" sx={{ color: "text.secondary" }}>
                  {instance.instance}
                </Typography>
              </TableCell>
              <TableCell>
                <Alive instance={instance} />
              </TableCell>
              <TableCell>
                <Version instance={instance} version={version} />
              </TableCell>
              <TableCell title={exactTime(instance.started_at)}>{ago(instance.started_at, now)}</TableCell>
              <TableCell title={exactTime(instance.seen_at)}>{ago(instance.seen_at, now)}</TableCell>
              <TableCell>
                <Held instance={instance} now={now} />
              </TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
    </Card>
  );
}

function InstanceCards({ instances, version, now }: Props) {
  return (
    <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, display: "grid", gap: 1 }}>
      {instances.map((instance) => (
        <Card component="li" key={instance.instance} data-instance={instance.service} sx={{ p: 1.75 }}>
          <Box sx={{ display: "flex", justifyContent: "space-between", gap: 1 }}>
            <Typography sx={{ fontWeight: 580, textTransform: "capitalize" }}>{instance.service}</Typography>
            <Alive instance={instance} />
          </Box>
          <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
            {instance.instance}
          </Typography>
          <Typography variant="caption" component="div" sx={{ color: "text.secondary", mt: 0.5 }}>
            {adminText.system.heard}: {ago(instance.seen_at, now)} · {adminText.system.started}: {ago(instance.started_at, now)} · <Version instance={instance} version={version} />
          </Typography>
          {instance.jobs.length > 0 && (
            <Box sx={{ mt: 0.75, fontSize: "0.875rem" }}>
              <Held instance={instance} now={now} />
            </Box>
          )}
        </Card>
      ))}
    </Box>
  );
}
