import { plural } from "../text/plural";

/**
 * Sizes, rates and shares as text; nothing else in the app formats a number of bytes. 1024-based like the API's `size_human` and the
 * command line (`shared/units.py`); both sides are tested with the values of `units.json`.
 */
const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 1536 -> "1.50 KB"; whole bytes below that. */
export function bytes(size: number): string {
  const most = Math.max(0, Math.floor(size));
  let unit = 0;
  let hundredths = 100 * most;
  while (hundredths >= 100 * 1024 && unit < UNITS.length - 1) {
    unit += 1;
    hundredths = Math.round((100 * most) / 1024 ** unit);
  }
  return `${unit === 0 ? most : (hundredths / 100).toFixed(2)} ${UNITS[unit]}`;
}

/** 10737418240 -> "10 GB", 107374182 -> "102.4 MB", 1500 -> "1500 B": the largest unit that loses nothing with two decimals. `parseSize` reads it. */
export function exactSize(size: number): string {
  for (let unit = UNITS.length - 1; unit > 0; unit -= 1) {
    const value = Math.round((100 * size) / 1024 ** unit) / 100;
    const shown = `${value} ${UNITS[unit]}`;
    if (value >= 1 && parseSize(shown) === size) return shown;
  }
  return `${size} B`;
}

/** "10 GB", "1.5tb", "0" -> bytes; null for what is no size. */
export function parseSize(text: string): number | null {
  const found = /^(\d{1,16}(?:\.\d{1,6})?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (!found) return null;
  const power = "kmgtp".indexOf((found[2] ?? "").toLowerCase() || "-") + 1;
  return Math.round(Number(found[1]) * 1024 ** power);
}

/** Exact, for a title or a proof: "1,073,741,824 bytes". */
export function exactBytes(size: number): string {
  return plural(size, "byte", "bytes");
}

export function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

/** Of media, whose rates count bits by the thousand: "12.34 Mbps". */
export function megabits(bits: number): string {
  return `${(bits / 1e6).toFixed(2)} Mbps`;
}

/** 384000 -> "384 kbit/s", as sound is told. */
export function kilobits(bits: number): string {
  return `${count(Math.round(bits / 1000))} kbit/s`;
}

export function count(value: number): string {
  return whole.format(value);
}

/** 0.2912 -> "29 %" (a no-break space, as the SI asks for). */
export function percent(fraction: number): string {
  return `${whole.format(Math.round(fraction * 100))}\u00a0%`;
}

/** How much smaller the archive is, as a fraction; null when it is not. */
export function saved(original: number | null, packed: number | null): number | null {
  if (!original || packed === null || packed >= original) return null;
  return 1 - packed / original;
}

export const GB = 1024 ** 3;
export const MB = 1024 ** 2;
