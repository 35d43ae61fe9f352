import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import type { Stats, StatsHistory } from "../../api/types";
import { Sparkline } from "../../components/Sparkline";
import { text } from "../../text/en";
import { type Point, roundTop } from "../../util/samples";
import { duration } from "../../util/time";
import { MB, percent, rate } from "../../util/units";

type Figures = Pick<Stats, "upload_speed" | "cpu_usage" | "memory_usage">;

interface Gauge {
  name: string;
  value: (figures: Figures) => number;
  say: (value: number) => string;
  /** What the upper edge of the picture stands for. */
  top: (highest: number) => number;
}

const asPercent = (value: number) => percent(value / 100);
const whole = () => 100;
const GAUGES: readonly Gauge[] = [
  { name: text.dashboard.speed, value: (figures) => figures.upload_speed, say: rate, top: (highest) => roundTop(highest, MB) },
  { name: text.dashboard.cpu, value: (figures) => figures.cpu_usage, say: asPercent, top: whole },
  { name: text.dashboard.memory, value: (figures) => figures.memory_usage, say: asPercent, top: whole },
];

/** Speed, processor and memory, with the last half hour as the gateway has seen it. A small thing: without figures it stays blank. */
export function Machine() {
  const stats = useQuery(queries.stats());
  const history = useQuery(queries.statsHistory()).data;
  const uptime = stats.data?.uptime;
  return (
    <Box component="section" aria-label={text.dashboard.machine} sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", sm: "repeat(3, minmax(0, 1fr))" } }}>
      {GAUGES.map((gauge, index) => (
        <Card key={gauge.name} sx={{ p: 2 }}>
          <Box sx={{ display: "flex", justifyContent: "space-between", alignItems: "baseline", gap: 1, mb: 1 }}>
            <Typography component="p" variant="body2" sx={{ color: "text.secondary" }}>
              {gauge.name}
            </Typography>
            <Typography component="p" sx={{ fontWeight: 640, fontVariantNumeric: "tabular-nums" }}>
              {stats.data ? gauge.say(gauge.value(stats.data)) : "–"}
            </Typography>
          </Box>
          <Chart gauge={gauge} points={curve(gauge, history, stats.data, stats.dataUpdatedAt)} history={history} />
          <Typography component="p" variant="caption" sx={{ color: "text.secondary", mt: 0.5, minHeight: "1.4em" }}>
            {index === GAUGES.length - 1 && uptime !== undefined ? `${text.dashboard.uptime} ${duration(uptime)}` : "\u00a0"}
          </Typography>
        </Card>
      ))}
    </Box>
  );
}

const HALF_HOUR = 1800;

function Chart({ gauge, points, history }: { gauge: Gauge; points: Point[]; history: StatsHistory | undefined }) {
  const top = gauge.top(Math.max(0, ...points.map((point) => point.value)));
  const span = history?.span_seconds ?? HALF_HOUR;
  return (
    <Sparkline
      points={points}
      now={points.at(-1)?.at ?? 0}
      span={span * 1000}
      gap={(history?.interval_seconds ?? 10) * 4000}
      top={top}
      topLabel={gauge.say(top)}
      bottomLabel="0"
      startLabel={text.dashboard.before(duration(span))}
      endLabel={text.dashboard.now}
      label={summary(gauge, points, span)}
    />
  );
}

/** What the gateway has seen, and what is seen now. Pure. */
export function curve({ value }: Pick<Gauge, "value">, history: StatsHistory | undefined, now: Figures | undefined, at: number): Point[] {
  const seen = (history?.samples ?? []).map((sample) => ({ at: Date.parse(sample.at), value: value(sample) }));
  const last = seen.at(-1)?.at ?? 0;
  return now && history && at > last ? [...seen, { at, value: value(now) }] : seen;
}

/** The picture in words. Pure. */
export function summary({ name, say }: Pick<Gauge, "name" | "say">, points: Point[], span: number): string {
  const values = points.map((point) => point.value);
  return values.length === 0 ? name : text.dashboard.spark(name, duration(span), say(Math.min(...values)), say(Math.max(...values)));
}
