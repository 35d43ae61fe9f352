/** The dashboard's figures over the last half hour, for sparklines. Pure. */

export interface Point {
  /** Milliseconds. */
  at: number;
  value: number;
}

/**
 * The lines through the points in a box of `width` x `height`; the right edge is `now`, the left `span` milliseconds before, `top` the
 * value at the upper edge. Points further apart than `gap` are not joined: nobody looked between them.
 */
export function lines(points: Point[], box: { width: number; height: number; now: number; span: number; gap: number; top: number }): string[] {
  const parts: Point[][] = [];
  for (const point of points) {
    if (point.at < box.now - box.span) continue;
    const part = parts.at(-1);
    const last = part?.at(-1);
    if (part && last && point.at - last.at <= box.gap) part.push(point);
    else parts.push([point]);
  }
  const x = (at: number) => round(Math.min(1, 1 - (box.now - at) / box.span) * box.width);
  const y = (value: number) => round(box.height - (Math.min(value, box.top) / box.top) * box.height);
  return parts.map((part) => part.map((point) => `${x(point.at)},${y(point.value)}`).join(" "));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024];

/** The value at the upper edge of a chart of bytes: the next round number of its unit, at least `least`. */
export function roundTop(highest: number, least: number): number {
  let unit = 1;
  while (highest > unit * 1024) unit *= 1024;
  const step = STEPS.find((factor) => factor * unit >= highest) ?? 1024;
  return Math.max(least, step * unit);
}
