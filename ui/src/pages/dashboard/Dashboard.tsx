import Alert, { type AlertColor } from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { Link as RouterLink } from "react-router";

import { ALL_KINDS, queries, useTasks } from "../../api/queries";
import { usePolling } from "../../api/sync";
import type { JobSummary, Queue, Stats, SystemStatus } from "../../api/types";
import { PageHeader } from "../../components/PageHeader";
import { ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { StorageGauge } from "../../components/StorageGauge";
import { toneVar, type Tone } from "../../components/status";
import { useCancel } from "../../components/useCancel";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { ago } from "../../util/time";
import { bytes, count, GB, rate } from "../../util/units";
import { useNow } from "../../util/useNow";
import { EndedList } from "../history/EndedList";
import { Lanes } from "../queue/Lanes";
import { FailedJobs } from "./FailedJobs";
import { Machine } from "./Machine";

export function Dashboard() {
  const polling = usePolling();
  const system = useQuery(queries.system());
  const queue = useQuery({ ...queries.queue(), refetchInterval: polling });
  const recent = useQuery({ ...queries.jobs({ kind: [...ALL_KINDS], status: ["completed", "failed", "cancelled"], sort: "ended", limit: 5, offset: 0 }), refetchInterval: polling });
  const { tasks, pending } = useTasks(polling);
  const cancel = useCancel();
  const failures = useQuery(queries.failures());
  const status = pending || failures.isPending ? undefined : system.data;
  const active = queue.data?.active_jobs ?? [];
  return (
    <>
      <PageHeader title={text.dashboard.title} />
      <StaleNote query={system} />
      {system.error && !status && <ErrorPanel error={system.error} onRetry={() => system.refetch()} />}
      {!system.error && !status && <SkeletonRows rows={6} height={72} />}
      {status && (
        <Box sx={{ display: "grid", gap: 3, gridTemplateColumns: "minmax(0, 1fr)" }}>
          <Attention system={status} queue={queue.data} failures={failures.data ?? []} />
          <Numbers failed={failures.data?.length ?? 0} />
          <Machine />
          <Lanes label={text.dashboard.lanes} active={active} tasks={tasks} onCancel={(job) => cancel.ask([job])} />
          <Box sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", lg: "repeat(2, minmax(0, 1fr))" } }}>
            <Storage system={status} />
            <Services system={status} />
          </Box>
          <section>
            <Box sx={{ display: "flex", alignItems: "center", justifyContent: "space-between", mb: 1 }}>
              <Typography variant="h2">{text.dashboard.recent}</Typography>
              <Button size="small" component={RouterLink} to={paths.history()}>
                {text.queue.viewHistory}
              </Button>
            </Box>
            {recent.data && recent.data.items.length > 0 ? (
              <EndedList jobs={recent.data.items} />
            ) : (
              <Typography variant="body2" sx={{ color: "text.secondary" }}>
                {text.dashboard.recentNone}
              </Typography>
            )}
          </section>
        </Box>
      )}
      {cancel.dialog}
    </>
  );
}

/** What a person should look at, worst first; nothing when all is well. Pure. */
export function attention(system: SystemStatus, queue: Queue | undefined): { text: string; severity: AlertColor; to: string | null }[] {
  const silent = silentServices(system);
  const short = queue?.queued_jobs.filter((job) => job.missing_bytes).length ?? 0;
  const told = text.dashboard;
  return [
    ...silent.map((name) => ({ text: told.attentionService(name), severity: "error" as const, to: null })),
    ...(system.disk_space.low ? [{ text: told.attentionDisk(bytes(system.disk_space.free_gb * GB)), severity: "warning" as const, to: null }] : []),
    ...(short > 0 ? [{ text: told.attentionSpace(short), severity: "warning" as const, to: paths.queue() }] : []),
  ];
}

/** A service none of whose processes is alive; an old process beside a living one is only history. */
function silentServices(system: SystemStatus): string[] {
  const names = [...new Set(system.services.map((service) => service.service))];
  return names.filter((name) => !system.services.some((service) => service.service === name && service.alive));
}

function Attention({ system, queue, failures }: { system: SystemStatus; queue: Queue | undefined; failures: JobSummary[] }) {
  const items = attention(system, queue);
  if (items.length === 0 && failures.length === 0) return null;
  return (
    <Box component="section" aria-label={text.dashboard.attention} sx={{ display: "grid", gap: 1, gridTemplateColumns: "minmax(0, 1fr)" }}>
      {failures.length > 0 && <FailedJobs jobs={failures} />}
      {items.map((item) => (
        <Alert
          key={item.text}
          severity={item.severity}
          action={
            item.to && (
              <Button color="inherit" size="small" component={RouterLink} to={item.to}>
                {text.dashboard.show}
              </Button>
            )
          }
        >
          {item.text}
        </Alert>
      ))}
    </Box>
  );
}

/** The four counters of the dashboard. */
function Numbers({ failed }: { failed: number }) {
  const stats = useQuery(queries.stats()).data;
  const said = text.dashboard.counters;
  const show = (value: (stats: Stats) => string) => (stats ? value(stats) : "–");
  const cards: [string, string, string, Tone, string][] = [
    [said.active, show((now) => count(now.active_tasks)), show((now) => said.waiting(now.queued_tasks, now.paused_tasks)), stats?.active_tasks ? "info" : "neutral", paths.queue()],
    [said.speed, show((now) => rate(now.total_speed)), show((now) => said.speeds(now.upload_speed, now.staging_speed)), stats?.total_speed ? "info" : "neutral", paths.queue()],
    [said.downloads, show((now) => count(now.total_downloads)), said.downloadsHint, "neutral", paths.files()],
    [said.uploads, show((now) => count(now.total_uploads)), said.uploadsHint(failed), failed ? "error" : stats?.total_uploads ? "success" : "neutral", paths.history()],
  ];
  return (
    <Box component="section" aria-label={said.title} sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "repeat(2, minmax(0, 1fr))", lg: "repeat(4, minmax(0, 1fr))" } }}>
      {cards.map(([label, value, hint, tone, to]) => (
        <Card
          key={label}
          component={RouterLink}
          to={to}
          sx={{ display: "block", p: 2, textDecoration: "none", color: "text.primary", borderTop: `3px solid ${tone === "neutral" ? "var(--mui-palette-divider)" : toneVar(tone)}`, "&:hover": { backgroundColor: "action.hover" } }}
        >
          <Typography component="p" variant="body2" sx={{ color: "text.secondary" }}>
            {label}
          </Typography>
          <Typography component="p" sx={{ fontSize: "1.5rem", fontWeight: 680, letterSpacing: "-0.02em", lineHeight: 1.25, fontVariantNumeric: "tabular-nums" }}>
            {value}
          </Typography>
          <Typography component="p" variant="caption" sx={{ color: "text.secondary" }}>
            {hint}
          </Typography>
        </Card>
      ))}
    </Box>
  );
}

function Storage({ system }: { system: SystemStatus }) {
  return (
    <Card component="section" sx={{ p: 2.5 }}>
      <Typography variant="h2" sx={{ mb: 1.5 }}>
        {text.dashboard.storage}
      </Typography>
      <StorageGauge disk={system.disk_space} />
    </Card>
  );
}

function Services({ system }: { system: SystemStatus }) {
  const now = useNow(30_000);
  const silent = new Set(silentServices(system));
  const shown = system.services.filter((service) => service.alive || silent.has(service.service));
  return (
    <Card component="section" sx={{ p: 2.5 }}>
      <Box sx={{ display: "flex", justifyContent: "space-between", alignItems: "baseline", mb: 1 }}>
        <Typography variant="h2">{text.dashboard.services}</Typography>
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {text.dashboard.version(system.version)}
        </Typography>
      </Box>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0 }}>
        {shown.map((service) => (
          <Box component="li" key={service.instance} title={service.instance} sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1, py: 0.75, "& + &": { borderTop: 1, borderColor: "divider" } }}>
            <Box aria-hidden sx={{ width: 8, height: 8, borderRadius: 99, backgroundColor: service.alive ? "success.main" : "error.main" }} />
            <Typography variant="body2" sx={{ fontWeight: 560, textTransform: "capitalize", flex: 1 }}>
              {service.service}
            </Typography>
            <Typography variant="caption" sx={{ color: service.alive ? "text.secondary" : "error.main" }}>
              {service.alive ? text.dashboard.alive : text.dashboard.silent} · {text.dashboard.since(ago(service.started_at, now))}
            </Typography>
          </Box>
        ))}
      </Box>
    </Card>
  );
}
