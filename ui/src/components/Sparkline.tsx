import Box from "@mui/material/Box";

import { lines, type Point } from "../util/samples";

const WIDTH = 240;
const HEIGHT = 48;

interface Props {
  points: Point[];
  /** The time at the right edge, and how much of it the whole width is; milliseconds. */
  now: number;
  span: number;
  /** Points further apart are not joined. */
  gap: number;
  /** What the upper edge stands for, as a value and in words; the lower edge in words. */
  top: number;
  topLabel: string;
  bottomLabel: string;
  startLabel: string;
  endLabel: string;
  /** The whole picture in words. */
  label: string;
}

/** A line with its scale: the value at both edges, the time at both ends. */
export function Sparkline({ points, now, span, gap, top, topLabel, bottomLabel, startLabel, endLabel, label }: Props) {
  const parts = lines(points, { width: WIDTH, height: HEIGHT, now, span, gap, top });
  return (
    <Box sx={{ display: "grid", gridTemplateColumns: "minmax(0, 1fr) auto", columnGap: 1, fontSize: "0.75rem", color: "text.secondary", fontVariantNumeric: "tabular-nums" }}>
      <Box component="svg" role="img" aria-label={label} viewBox={`0 -2 ${WIDTH} ${HEIGHT + 4}`} preserveAspectRatio="none" sx={{ display: "block", width: "100%", height: HEIGHT, color: "primary.main", overflow: "hidden" }}>
        {[0, HEIGHT].map((y) => (
          <line key={y} x1="0" x2={WIDTH} y1={y} y2={y} stroke="var(--mui-palette-divider)" strokeDasharray={y === 0 ? "3 3" : undefined} vectorEffect="non-scaling-stroke" />
        ))}
        {parts.map((line) => (
          <g key={line}>
            <polygon points={`${edge(line.split(" ")[0])},${HEIGHT} ${line} ${edge(line.split(" ").at(-1))},${HEIGHT}`} fill="currentColor" opacity="0.12" />
            <polyline points={line} fill="none" stroke="currentColor" strokeWidth="1.75" strokeLinejoin="round" strokeLinecap="round" vectorEffect="non-scaling-stroke" />
          </g>
        ))}
      </Box>
      <Box aria-hidden data-scale="" sx={{ display: "flex", flexDirection: "column", justifyContent: "space-between", lineHeight: 1, minWidth: "4.5em", textAlign: "end" }}>
        <span>{topLabel}</span>
        <span>{bottomLabel}</span>
      </Box>
      <Box aria-hidden data-scale="" sx={{ display: "flex", justifyContent: "space-between", mt: 0.5 }}>
        <span>{startLabel}</span>
        <span>{endLabel}</span>
      </Box>
    </Box>
  );
}

function edge(point: string | undefined): string {
  return point?.split(",")[0] ?? "0";
}
