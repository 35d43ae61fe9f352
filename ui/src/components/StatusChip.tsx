import Box from "@mui/material/Box";
import { CirclePause, CircleSlash2, Hourglass } from "lucide-react";

import type { JobSummary } from "../api/types";
import { text } from "../text/en";
import { STATUS_LOOK, toneVar } from "./status";

type Facts = Pick<JobSummary, "status"> & Partial<Pick<JobSummary, "paused" | "cancelling" | "wait_reason">>;

function look(job: Facts) {
  if (job.cancelling) return { tone: "warning" as const, icon: CircleSlash2, label: text.status.cancelling };
  if (job.paused) return { tone: "warning" as const, icon: CirclePause, label: text.status.paused };
  if (job.wait_reason && job.status === "queued") return { tone: "warning" as const, icon: Hourglass, label: text.status.waiting };
  return { ...STATUS_LOOK[job.status], label: text.status[job.status] };
}

export function StatusChip({ job }: { job: Facts }) {
  const { tone, icon: Icon, label } = look(job);
  const color = toneVar(tone);
  return (
    <Box
      component="span"
      data-status={job.status}
      sx={{
        display: "inline-flex",
        alignItems: "center",
        gap: 0.75,
        height: 24,
        px: 1,
        borderRadius: "7px",
        fontSize: "0.8125rem",
        fontWeight: 580,
        whiteSpace: "nowrap",
        color,
        backgroundColor: `color-mix(in srgb, ${color} 11%, transparent)`,
        "@media (forced-colors: active)": { border: "1px solid" },
      }}
    >
      <Icon size={14} aria-hidden />
      {label}
    </Box>
  );
}
