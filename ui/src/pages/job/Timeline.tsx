import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { Ban, Check, CircleDot, Circle, type LucideIcon, Minus, X } from "lucide-react";

import type { JobDetail } from "../../api/types";
import { toneVar, type Tone } from "../../components/status";
import { text } from "../../text/en";
import { type Stage, stages, type StageState } from "../../util/job";
import { duration, exactTime, secondsBetween } from "../../util/time";
import { percent } from "../../util/units";
import { useNow } from "../../util/useNow";

const LOOK: Record<StageState, { icon: LucideIcon; tone: Tone }> = {
  done: { icon: Check, tone: "success" },
  active: { icon: CircleDot, tone: "info" },
  failed: { icon: X, tone: "error" },
  stopped: { icon: Ban, tone: "neutral" },
  todo: { icon: Circle, tone: "neutral" },
  skipped: { icon: Minus, tone: "neutral" },
};

/** The six stages in order: side by side where there is room, one below the other on a phone. */
export function Timeline({ job }: { job: JobDetail }) {
  const all = stages(job);
  const now = useNow(all.some((stage) => stage.state === "active") ? 1000 : 0);
  return (
    <Card component="section" aria-labelledby="stages-title" sx={{ p: 2.5 }}>
      <Typography variant="h2" id="stages-title" sx={{ mb: 2 }}>
        {text.stage.heading}
      </Typography>
      <Box
        component="ol"
        sx={{ listStyle: "none", m: 0, p: 0, display: "grid", gridTemplateColumns: { xs: "minmax(0, 1fr)", md: "repeat(6, minmax(0, 1fr))" }, rowGap: 0 }}
      >
        {all.map((stage, index) => (
          <Step key={stage.name} stage={stage} job={job} now={now} last={index === all.length - 1} />
        ))}
      </Box>
    </Card>
  );
}

function said(stage: Stage, job: JobDetail, now: number): string {
  if (stage.state === "skipped") return text.stage.kept;
  if (stage.state === "todo") return text.stage.todo;
  const took = stage.startedAt ? duration(secondsBetween(stage.startedAt, stage.endedAt, now)) : "";
  if (stage.state === "done") return took || text.stage.reused;
  if (stage.state === "active") return job.stage_percent === null ? took : `${percent(job.stage_percent / 100)} · ${took}`;
  const word = stage.state === "failed" ? text.stage.failed : text.stage.stopped;
  return took ? `${word}, ${took}` : word;
}

function Step({ stage, job, now, last }: { stage: Stage; job: JobDetail; now: number; last: boolean }) {
  const { icon: Icon, tone } = LOOK[stage.state];
  const color = toneVar(tone);
  const solid = stage.state === "done" || stage.state === "failed" || stage.state === "active";
  return (
    <Box
      component="li"
      aria-current={stage.state === "active" ? "step" : undefined}
      data-stage={stage.name}
      data-state={stage.state}
      title={stage.startedAt ? exactTime(stage.startedAt) : undefined}
      sx={{ display: "grid", gridTemplateColumns: { xs: "32px minmax(0, 1fr)", md: "minmax(0, 1fr)" }, columnGap: 1.25, pb: { xs: last ? 0 : 2, md: 0 }, position: "relative" }}
    >
      {!last && (
        <Box
          aria-hidden
          sx={{
            position: "absolute",
            backgroundColor: stage.state === "done" ? "success.main" : "background.track",
            top: { xs: 32, md: 13 },
            bottom: { xs: 4, md: "auto" },
            insetInlineStart: { xs: 13, md: 36 },
            insetInlineEnd: { xs: "auto", md: 8 },
            width: { xs: 2, md: "auto" },
            height: { xs: "auto", md: 2 },
            borderRadius: 2,
          }}
        />
      )}
      <Box
        sx={{
          width: 28,
          height: 28,
          borderRadius: 99,
          display: "grid",
          placeItems: "center",
          color: solid ? "background.paper" : color,
          backgroundColor: solid ? color : "background.raised",
          boxShadow: stage.state === "active" ? `0 0 0 4px color-mix(in srgb, ${color} 22%, transparent)` : "none",
          "@media (forced-colors: active)": { border: "1px solid" },
        }}
      >
        <Icon size={16} aria-hidden strokeWidth={2.4} />
      </Box>
      <Box sx={{ mt: { xs: 0.25, md: 1 }, pr: 1, minWidth: 0 }}>
        <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.875rem", color: stage.state === "todo" || stage.state === "skipped" ? "text.secondary" : "text.primary" }}>
          {text.stage[stage.name]}
        </Typography>
        <Typography component="p" variant="caption" sx={{ color: stage.state === "failed" ? "error.main" : "text.secondary" }}>
          {said(stage, job, now)}
        </Typography>
      </Box>
    </Box>
  );
}
