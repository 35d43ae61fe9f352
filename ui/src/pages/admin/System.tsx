import Alert, { type AlertColor } from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { CircleCheck, CircleX, Database, type LucideIcon, MessagesSquare, Send, TriangleAlert } from "lucide-react";
import { Link as RouterLink } from "react-router";

import { queries } from "../../api/queries";
import type { SystemStatus } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { AdminOnly } from "../../components/AdminOnly";
import { PageHeader } from "../../components/PageHeader";
import { Section } from "../../components/Section";
import { ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toneColor, type Tone } from "../../components/status";
import { StorageGauge } from "../../components/StorageGauge";
import { useClear } from "../../components/useClear";
import { adminText } from "../../text/enAdmin";
import { clearText } from "../../text/enClear";
import { paths } from "../../util/paths";
import { ago, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";
import { GlobusCheck } from "./GlobusCheck";
import { Instances } from "./Instances";

const LOOK_MS = 5000;
const WARNINGS: ReadonlySet<string> = new Set(["disk_low", "events_late", "service_silent", "work_elsewhere"]);

export function System() {
  return (
    <AdminOnly>
      <Status />
    </AdminOnly>
  );
}

function Status() {
  const system = useQuery({ ...queries.system(), refetchInterval: LOOK_MS });
  const status = system.data;
  return (
    <>
      <PageHeader title={adminText.system.title} subtitle={status ? adminText.system.subtitle(status.version) : "\u00a0"} />
      <StaleNote query={system} />
      {system.error && !status && <ErrorPanel error={system.error} onRetry={() => system.refetch()} />}
      {!system.error && !status && <SkeletonRows rows={8} height={64} />}
      {status && (
        <Box sx={{ display: "grid", gap: 2, gridTemplateColumns: "minmax(0, 1fr)" }}>
          <Alerts alerts={status.alerts} />
          <Engines status={status} />
          <Instances status={status} />
          <Box sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", lg: "minmax(0, 3fr) minmax(0, 2fr)" }, alignItems: "start" }}>
            <GlobusCheck emulated={status.globus_emulated} />
            <Section title={adminText.system.storage} hint={adminText.system.storageWarn}>
              <div>
                <StorageGauge disk={status.disk_space} />
              </div>
            </Section>
          </Box>
        </Box>
      )}
    </>
  );
}

function severity(kind: string): AlertColor {
  return WARNINGS.has(kind) ? "warning" : "error";
}

/** What the gateway says somebody should look at. Failed jobs lead to their pages, and can be dismissed. */
function Alerts({ alerts }: { alerts: SystemStatus["alerts"] }) {
  const now = useNow(30_000);
  const dismissal = useClear();
  if (alerts.length === 0) return <Alert severity="success">{adminText.system.fine}</Alert>;
  return (
    <Box component="section" aria-label={adminText.system.attention} sx={{ display: "grid", gap: 1 }}>
      {alerts.map((alert) => (
        <Alert
          key={`${alert.kind} ${alert.job_id ?? alert.message}`}
          severity={severity(alert.kind)}
          data-alert={alert.kind}
          action={
            alert.job_id && (
              <Box sx={{ display: "flex", flexWrap: "wrap", justifyContent: "flex-end" }}>
                <Button color="inherit" size="small" component={RouterLink} to={paths.job(alert.job_id)}>
                  {adminText.system.openJob}
                </Button>
                {alert.kind === "job_failed" && (
                  <ActionButton color="inherit" size="small" title={clearText.hint} disabled={dismissal.busy} onClick={() => alert.job_id && dismissal.clear([alert.job_id])}>
                    {clearText.dismiss}
                  </ActionButton>
                )}
              </Box>
            )
          }
        >
          {alert.message}
          {alert.since && (
            <Typography component="span" variant="caption" title={exactTime(alert.since)} sx={{ display: "block", opacity: 0.85 }}>
              {ago(alert.since, now)}
            </Typography>
          )}
        </Alert>
      ))}
    </Box>
  );
}

interface Engine {
  name: string;
  icon: LucideIcon;
  tone: Tone;
  said: string;
}

/** How the parts below the services are. Pure. */
export function engines({ postgres, nats, relay }: Pick<SystemStatus, "postgres" | "nats" | "relay">): Engine[] {
  return [
    // No answer from Postgres is no status at all: then the whole page says so.
    { name: adminText.system.postgres, icon: Database, tone: postgres === "ok" ? "success" : "error", said: adminText.system.postgresSaid[postgres] },
    { name: adminText.system.nats, icon: MessagesSquare, tone: nats === "ok" ? "success" : "error", said: nats === "ok" ? adminText.system.natsOk : adminText.system.natsAway },
    {
      name: adminText.system.relay,
      icon: Send,
      tone: relay.waiting > 0 ? "warning" : "success",
      said: relay.waiting > 0 ? adminText.system.relayLate(relay.waiting, relay.oldest_seconds ?? 0) : adminText.system.relayOk,
    },
  ];
}

const TONE_ICON = { success: CircleCheck, warning: TriangleAlert, error: CircleX, info: CircleCheck, neutral: CircleCheck } as const;

function Engines({ status }: { status: SystemStatus }) {
  return (
    <Box component="section" aria-label={adminText.system.engines} sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", md: "repeat(3, minmax(0, 1fr))" } }}>
      {engines(status).map(({ name, icon: Icon, tone, said }) => {
        const State = TONE_ICON[tone];
        return (
          <Card key={name} sx={{ display: "flex", gap: 1.5, p: 2 }}>
            <Box sx={{ color: "text.secondary", pt: 0.25 }}>
              <Icon size={20} aria-hidden />
            </Box>
            <Box sx={{ minWidth: 0 }}>
              <Typography variant="h3" component="h2">
                {name}
              </Typography>
              <Typography variant="body2" sx={{ display: "flex", alignItems: "flex-start", gap: 0.75, color: toneColor(tone), mt: 0.25 }}>
                <State size={15} aria-hidden style={{ flexShrink: 0, marginTop: 3 }} />
                {said}
              </Typography>
            </Box>
          </Card>
        );
      })}
    </Box>
  );
}
