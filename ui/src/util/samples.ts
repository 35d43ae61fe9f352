/** The dashboard's figures over the last minutes, for sparklines. Pure. */
import type { Stats } from "../api/types";

export interface Sample {
  /** Milliseconds. */
  at: number;
  stats: Stats;
}

export const KEPT = 120;
const GAP_MS = 60_000;

/** With a new one at the end. After a pause (a hidden tab, a lost connection) it starts anew: a line through a gap would be invented. */
export function push(samples: Sample[], at: number, stats: Stats): Sample[] {
  const last = samples.at(-1);
  const kept = last && at - last.at > GAP_MS ? [] : samples;
  return [...kept, { at, stats }].slice(-KEPT);
}

/** The points of a line in a box of `width` x `height`, from the left; `top` is the value at the upper edge. */
export function points(values: number[], width: number, height: number, top: number): string {
  const step = width / (KEPT - 1);
  const first = KEPT - values.length;
  return values.map((value, index) => `${round((first + index) * step)},${round(height - (Math.min(value, top) / top) * height)}`).join(" ");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
