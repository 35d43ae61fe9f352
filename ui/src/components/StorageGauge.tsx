import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { TriangleAlert } from "lucide-react";

import type { SystemStatus } from "../api/types";
import { text } from "../text/en";
import { bytes, GB, percent } from "../util/units";
import { ProgressBar } from "./ProgressBar";

/** The staging storage: what is free in large, what is used as a bar, a warning below 20 %. */
export function StorageGauge({ disk }: { disk: SystemStatus["disk_space"] }) {
  return (
    <>
      <Typography component="p" sx={{ display: "flex", alignItems: "center", gap: 1, fontSize: "1.375rem", fontWeight: 660, mb: 1, color: disk.low ? "warning.main" : "text.primary" }}>
        {disk.low && <TriangleAlert size={20} aria-hidden />}
        {text.disk.free(bytes(disk.free_gb * GB))}
      </Typography>
      <ProgressBar bar={{ kind: "determinate", value: disk.percent_used }} label={text.dashboard.storage} />
      <Typography variant="caption" component="p" sx={{ color: "text.secondary", mt: 1 }}>
        {text.disk.hint(bytes(disk.used_gb * GB), bytes(disk.total_gb * GB), percent(disk.percent_used / 100))}
      </Typography>
      {disk.low && (
        <Box component="p" sx={{ m: 0, mt: 0.5, fontSize: "0.8125rem", fontWeight: 560, color: "warning.main" }}>
          {text.disk.low}
        </Box>
      )}
    </>
  );
}
