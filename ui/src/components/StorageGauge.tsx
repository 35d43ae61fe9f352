import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { TriangleAlert } from "lucide-react";

import type { SystemStatus } from "../api/types";
import { text } from "../text/en";
import { bytes, GB, percent } from "../util/units";
import { ProgressBar } from "./ProgressBar";

/** What the space is for, in GB: used, reserved by the file system and free add up to the total. What nobody reserves is left out. Pure. */
function parts(disk: SystemStatus["disk_space"]): [string, number][] {
  const words = text.disk.parts;
  const all: [string, number][] = [
    [words.used, disk.used_gb],
    [words.system, disk.system_reserved_gb],
    [words.free, disk.free_gb],
    [words.jobs, disk.job_reserved_gb],
    [words.total, disk.total_gb],
  ];
  return all.filter(([name, size]) => size > 0 || (name !== words.system && name !== words.jobs));
}

/** The staging storage: what is free in large, what is used in percent and as a bar, what the space is for, a warning below 20 %. */
export function StorageGauge({ disk }: { disk: SystemStatus["disk_space"] }) {
  return (
    <>
      <Typography component="p" sx={{ display: "flex", alignItems: "center", gap: 1, fontSize: "1.375rem", fontWeight: 660, mb: 1, color: disk.low ? "warning.main" : "text.primary" }}>
        {disk.low && <TriangleAlert size={20} aria-hidden />}
        {text.disk.free(bytes(disk.free_gb * GB))}
        <Box component="span" sx={{ fontSize: "0.875rem", fontWeight: 400, color: "text.secondary" }}>
          {text.disk.usage(percent(disk.percent_used / 100))}
        </Box>
      </Typography>
      <ProgressBar bar={{ kind: "determinate", value: disk.percent_used }} label={text.dashboard.storage} />
      <Box component="dl" sx={{ m: 0, mt: 1.25, display: "grid", gridTemplateColumns: "auto auto", justifyContent: "start", columnGap: 2, rowGap: 0.25, fontSize: "0.8125rem", color: "text.secondary" }}>
        {parts(disk).map(([name, size]) => (
          <Box key={name} sx={{ display: "contents" }}>
            <dt>{name}</dt>
            <Box component="dd" sx={{ m: 0, textAlign: "end", fontVariantNumeric: "tabular-nums" }}>
              {bytes(size * GB)}
            </Box>
          </Box>
        ))}
      </Box>
      {disk.low && (
        <Box component="p" sx={{ m: 0, mt: 0.5, fontSize: "0.8125rem", fontWeight: 560, color: "warning.main" }}>
          {text.disk.low}
        </Box>
      )}
    </>
  );
}
