const rules = new Intl.PluralRules("en");
const number = new Intl.NumberFormat("en");

/** plural(2, "folder", "folders") -> "2 folders". */
export function plural(count: number, one: string, other: string): string {
  return `${number.format(count)} ${rules.select(count) === "one" ? one : other}`;
}
