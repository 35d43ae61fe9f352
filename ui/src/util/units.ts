/** Sizes and rates as text. 1024-based like the API's `size_human`; nothing else in the app formats a number of bytes. */
const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"] as const;
const formats = new Map<number, Intl.NumberFormat>();

function number(value: number, digits: number): string {
  let format = formats.get(digits);
  if (!format) {
    format = new Intl.NumberFormat("en", { maximumFractionDigits: digits, minimumFractionDigits: 0 });
    formats.set(digits, format);
  }
  return format.format(value);
}

/** 1536 -> "1.5 KB". Three significant places are enough to compare by eye. */
export function bytes(size: number): string {
  let value = Math.max(0, size);
  let unit = 0;
  while (value >= 1023.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${number(value, digits)} ${UNITS[unit]}`;
}

/** 10737418240 -> "10 GB", 1500 -> "1500 B": the largest unit that loses nothing. `parseSize` reads it. */
export function exactSize(size: number): string {
  let value = size;
  let unit = 0;
  while (value > 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${UNITS[unit]}`;
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
  return `${number(size, 0)} ${size === 1 ? "byte" : "bytes"}`;
}

export function rate(bytesPerSecond: number): string {
  return `${bytes(bytesPerSecond)}/s`;
}

export function count(value: number): string {
  return number(value, 0);
}

/** 0.2912 -> "29 %" (a no-break space, as the SI asks for). */
export function percent(fraction: number): string {
  return `${number(Math.round(fraction * 100), 0)}\u00a0%`;
}

/** How much smaller the archive is, as a fraction; null when it is not. */
export function saved(original: number | null, packed: number | null): number | null {
  if (!original || packed === null || packed >= original) return null;
  return 1 - packed / original;
}

export const GB = 1024 ** 3;
const MB = 1024 ** 2;

/** Staging an archive job reserves: the copy, the archive, and room for the archive's own tables (design, 4.9). */
export function stagingNeed(size: number): number {
  return Math.ceil(size + 1.01 * size) + 64 * MB;
}
