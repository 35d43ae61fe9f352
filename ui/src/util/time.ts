/** Times and durations as text; nothing else in the app formats them. */
import { preferences } from "../theme/preferences";

function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(undefined, { ...options, timeZone: preferences().zone === "utc" ? "UTC" : undefined });
}

/** "21 Nov 2026, 09:30" in the order of the reader's language. */
export function dateTime(iso: string): string {
  return format({ dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
}

/** "14:02"; milliseconds. */
export function timeOfDay(at: number): string {
  return format({ hour: "2-digit", minute: "2-digit" }).format(at);
}

/** "21 Nov 2026, 09:30:05". */
export function dateTimeSeconds(iso: string): string {
  return format({ dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));
}

export function exactTime(iso: string): string {
  return format({ dateStyle: "medium", timeStyle: "long" }).format(new Date(iso));
}

export function day(iso: string): string {
  return format({ dateStyle: "medium" }).format(new Date(iso));
}

/** "09:30:05.123", for a log. */
export function clock(iso: string): string {
  return format({ hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" }).format(new Date(iso));
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_557_600],
  ["month", 2_629_800],
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** "3 minutes ago". `now` in milliseconds. */
export function ago(iso: string, now: number): string {
  const seconds = (now - new Date(iso).getTime()) / 1000;
  for (const [unit, length] of STEPS) {
    if (Math.abs(seconds) >= length) return relative.format(-Math.round(seconds / length), unit);
  }
  return "just now";
}

/** 3723 -> "1h 2m"; two units are enough unless `units` says otherwise. Seconds below one count as one: something did happen. */
export function duration(seconds: number, units = 2): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), "d"],
    [Math.floor((whole % 86_400) / 3600), "h"],
    [Math.floor((whole % 3600) / 60), "m"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return seconds > 0 ? "<1s" : "0s";
  return parts
    .slice(first, first + units)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value}${unit}`)
    .join(" ");
}

/** An estimate, which is never exact to the second: "less than a minute", "about 1h 2m". */
export function about(seconds: number): string {
  return seconds < 60 ? "less than a minute" : `about ${duration(seconds)}`;
}

/** Seconds from one moment to another, or to `now` while there is no end. */
export function secondsBetween(start: string, end: string | null, now: number): number {
  return ((end ? new Date(end).getTime() : now) - new Date(start).getTime()) / 1000;
}

/** "2026-11-21" -> the ISO time at which the day `later` days after that date begins, in the reader's zone; undefined for what is no day. */
export function dayStart(date: string | null, zone: "local" | "utc", later: number): string | undefined {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date ?? "");
  if (!found) return undefined;
  const [year, month, dayOfMonth] = [Number(found[1]), Number(found[2]) - 1, Number(found[3]) + later];
  const start = zone === "utc" ? new Date(Date.UTC(year, month, dayOfMonth)) : new Date(year, month, dayOfMonth);
  return start.toISOString();
}

/** 3723.4 -> "01:02:03", as the media routes take it. */
export function timecode(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  return [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60].map((part) => String(part).padStart(2, "0")).join(":");
}
