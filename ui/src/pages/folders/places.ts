/** What the two drop-downs above the folders offer. Pure. */
import type { FolderPlace } from "../../api/generated";
import { text } from "../../text/en";

export type Option = readonly [string, string];

/** Level 1, each once, with the folders below it. A level that came by address and holds nothing now stays visible. */
export function categories(places: FolderPlace[], chosen: string | undefined): Option[] {
  const sums = new Map<string, number>();
  for (const place of places) sums.set(place.level1, (sums.get(place.level1) ?? 0) + place.folder_count);
  if (chosen && !sums.has(chosen)) sums.set(chosen, 0);
  return [["", text.folders.allCategories], ...[...sums].map(([name, n]): Option => [name, text.folders.place(name, n)])];
}

/** Level 2 below the chosen level 1. */
export function subcategories(places: FolderPlace[], level1: string | undefined, chosen: string | undefined): Option[] {
  const below = places.filter((place) => place.level1 === level1);
  const found = below.map((place): Option => [place.level2, text.folders.place(place.level2, place.folder_count)]);
  const lost: Option[] = chosen && !below.some((place) => place.level2 === chosen) ? [[chosen, text.folders.place(chosen, 0)]] : [];
  return [["", text.folders.allSubcategories], ...found, ...lost];
}
