/** A made-up language for tests: every text of a table accented and 40 % longer, so that what is cut off or written elsewhere shows. */
const ACCENTS: Record<string, string> = { a: "á", e: "ë", i: "ï", o: "ö", u: "ü", c: "ç", n: "ñ", A: "Å", E: "É", O: "Ø", U: "Ü", C: "Ç" };
const MORE = 0.4;

function longer(words: string): string {
  const accented = [...words].map((letter) => ACCENTS[letter] ?? letter).join("");
  return `${accented}${"~".repeat(Math.ceil(words.length * MORE))}`;
}

/** The same table in the made-up language; what its functions say as well. */
export function pseudo<T>(entry: T): T {
  if (typeof entry === "string") return longer(entry) as T;
  if (typeof entry === "function") return ((...values: unknown[]) => pseudo(entry(...values))) as T;
  if (Array.isArray(entry) || typeof entry !== "object" || entry === null) return entry;
  return Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, pseudo(value)])) as T;
}
