import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import type { Stats } from "../../api/types";
import { Sparkline } from "../../components/Sparkline";
import { text } from "../../text/en";
import type { Sample } from "../../util/samples";
import { duration } from "../../util/time";
import { percent, rate } from "../../util/units";

interface Gauge {
  name: string;
  value: (stats: Stats) => number;
  say: (value: number) => string;
  /** What the upper edge of the picture stands for at least. */
  top: number;
}

const MB = 1024 ** 2;
const asPercent = (value: number) => percent(value / 100);
const GAUGES: readonly Gauge[] = [
  { name: text.dashboard.speed, value: (stats) => stats.total_speed, say: rate, top: MB },
  { name: text.dashboard.cpu, value: (stats) => stats.cpu_usage, say: asPercent, top: 100 },
  { name: text.dashboard.memory, value: (stats) => stats.memory_usage, say: asPercent, top: 100 },
];

/** Speed, processor and memory, with the last minutes as far as this tab has seen them. A small thing: without figures it stays blank. */
export function Machine() {
  const samples = useQuery(queries.stats()).data ?? [];
  const uptime = samples.at(-1)?.stats.uptime;
  return (
    <Box component="section" aria-label={text.dashboard.machine} sx={{ display: "grid", gap: 2, gridTemplateColumns: { xs: "minmax(0, 1fr)", sm: "repeat(3, minmax(0, 1fr))" } }}>
      {GAUGES.map((gauge, index) => (
        <Card key={gauge.name} sx={{ p: 2 }}>
          <Box sx={{ display: "flex", justifyContent: "space-between", alignItems: "baseline", gap: 1, mb: 1 }}>
            <Typography component="p" variant="body2" sx={{ color: "text.secondary" }}>
              {gauge.name}
            </Typography>
            <Typography component="p" sx={{ fontWeight: 640, fontVariantNumeric: "tabular-nums" }}>
              {said(gauge, samples)}
            </Typography>
          </Box>
          <Sparkline values={samples.map((sample) => gauge.value(sample.stats))} top={gauge.top} label={summary(gauge, samples)} />
          <Typography component="p" variant="caption" sx={{ color: "text.secondary", mt: 0.5, minHeight: "1.4em" }}>
            {index === GAUGES.length - 1 && uptime !== undefined ? `${text.dashboard.uptime} ${duration(uptime)}` : "\u00a0"}
          </Typography>
        </Card>
      ))}
    </Box>
  );
}

function said(gauge: Gauge, samples: Sample[]): string {
  const last = samples.at(-1);
  return last ? gauge.say(gauge.value(last.stats)) : "–";
}

/** The picture in words. Pure. */
export function summary(gauge: Gauge, samples: Sample[]): string {
  const values = samples.map((sample) => gauge.value(sample.stats));
  if (values.length === 0) return gauge.name;
  return text.dashboard.spark(gauge.name, gauge.say(Math.min(...values)), gauge.say(Math.max(...values)));
}
