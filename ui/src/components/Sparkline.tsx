import Box from "@mui/material/Box";

import { points } from "../util/samples";

const WIDTH = 240;
const HEIGHT = 40;

interface Props {
  values: number[];
  /** What the upper edge stands for at least; the line's own maximum may raise it. */
  top: number;
  /** The whole picture in words. */
  label: string;
}

/** A line of the last minutes. The newest value is at the right edge; where nobody looked there is nothing. */
export function Sparkline({ values, top, label }: Props) {
  const line = points(values, WIDTH, HEIGHT, Math.max(top, ...values));
  const first = line.split(",")[0] ?? "0";
  return (
    <Box
      component="svg"
      role="img"
      aria-label={label}
      viewBox={`0 -2 ${WIDTH} ${HEIGHT + 4}`}
      preserveAspectRatio="none"
      sx={{ display: "block", width: "100%", height: HEIGHT, color: "primary.main", overflow: "hidden" }}
    >
      <line x1="0" x2={WIDTH} y1={HEIGHT} y2={HEIGHT} stroke="var(--mui-palette-divider)" vectorEffect="non-scaling-stroke" />
      {values.length > 1 && (
        <>
          <polygon points={`${first},${HEIGHT} ${line} ${WIDTH},${HEIGHT}`} fill="currentColor" opacity="0.12" />
          <polyline points={line} fill="none" stroke="currentColor" strokeWidth="1.75" strokeLinejoin="round" vectorEffect="non-scaling-stroke" />
        </>
      )}
    </Box>
  );
}
