import Box from "@mui/material/Box";
import { keyframes } from "@mui/material/styles";

import type { Bar } from "../util/job";

const slide = keyframes({ from: { backgroundPosition: "0 0" }, to: { backgroundPosition: "28px 0" } });
const STRIPES =
  "repeating-linear-gradient(115deg, transparent 0 7px, color-mix(in srgb, var(--mui-palette-background-paper) 38%, transparent) 7px 14px)";

interface Props {
  bar: Bar;
  label: string;
  /** What a screen reader says in place of a number while there is none. */
  step?: string;
  /** False while nothing is heard from the server: nothing may look as if it moved. */
  moving?: boolean;
  height?: number;
}

/** A determinate bar has a number; an indeterminate one is a striped band and has none. */
export function ProgressBar({ bar, label, step, moving = true, height = 8 }: Props) {
  const known = bar.kind === "determinate";
  const start = known ? 0 : bar.from;
  const end = known ? bar.value : bar.to;
  return (
    <Box
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={known ? Math.round(bar.value) : undefined}
      aria-valuetext={known ? undefined : step}
      sx={{
        position: "relative",
        height,
        borderRadius: 99,
        overflow: "hidden",
        backgroundColor: "background.track",
        opacity: moving ? 1 : 0.55,
        "@media (forced-colors: active)": { border: "1px solid CanvasText" },
      }}
    >
      {!known && start > 0 && <Fill from={0} to={start} />}
      <Fill from={start} to={end} striped={!known} moving={moving} />
    </Box>
  );
}

function Fill({ from, to, striped = false, moving = false }: { from: number; to: number; striped?: boolean; moving?: boolean }) {
  return (
    <Box
      aria-hidden
      style={{ insetInlineStart: `${from}%`, inlineSize: `${Math.max(0, to - from)}%` }}
      sx={{
        position: "absolute",
        insetBlock: 0,
        borderRadius: striped ? 0 : 99,
        backgroundColor: "primary.main",
        opacity: striped ? 0.7 : 1,
        backgroundImage: striped ? STRIPES : "none",
        backgroundSize: "28px 100%",
        animation: striped && moving ? `${slide} 1.1s linear infinite` : "none",
        transition: moving ? "inline-size 0.35s ease-out" : "none",
        "@media (forced-colors: active)": { backgroundColor: "Highlight" },
      }}
    />
  );
}
