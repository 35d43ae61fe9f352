/** What a look into the chosen folders tells. Pure. */
import type { FolderPreview } from "../../api/types";
import { reviewText } from "../../text/enReview";
import { duration } from "../../util/time";
import { bytes } from "../../util/units";

const text = reviewText.look;
const KINDS = 4;
const FIRST = 10;
const WARNED = 5;
/** The gateway's word for "all other endings". */
const REST = "...";

/** Name and what there is to say of it; `key` tells it from the others; `depth` 1 for a folder's own subfolders. */
export interface Entry {
  key: string;
  name: string;
  value: string;
  depth?: number;
}

/** The endings with the most bytes, over all folders. */
export function kinds(seen: FolderPreview[]): string {
  const sizes = new Map<string, number>();
  for (const { type, size_bytes } of seen.flatMap((one) => one.types ?? [])) sizes.set(type, (sizes.get(type) ?? 0) + size_bytes);
  return [...sizes]
    .filter(([type]) => type !== REST)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, KINDS)
    .map(([type, size]) => `${type || text.noEnding} ${bytes(size)}`)
    .join(", ");
}

/** How many films have each quality rating, over all folders; the most frequent first. */
export function ratings(seen: FolderPreview[]): string {
  const counts = new Map<string, number>();
  for (const { quality } of seen.flatMap((one) => one.films ?? [])) if (quality) counts.set(quality, (counts.get(quality) ?? 0) + 1);
  return [...counts]
    .toSorted((a, b) => b[1] - a[1])
    .map(([label, files]) => text.rated(label, files))
    .join(", ");
}

/** What the media check warns of, a sentence per film; "and so many more" at the end. */
export function doubtful({ films = [] }: FolderPreview): string[] {
  const warned = films.filter((film) => (film.warnings ?? []).length > 0);
  const told = warned.slice(0, WARNED).map(({ path, warnings = [] }) => `${path || text.unnamed}: ${warnings.join(" ")}`);
  return warned.length > WARNED ? [...told, text.more(warned.length - WARNED)] : told;
}

/** Every film that was looked into, with its quality. */
export function filmList({ films: all = [] }: FolderPreview): Entry[] {
  return all
    .filter(({ path, quality }) => path && quality)
    .map(({ path, resolution, quality }) => ({ key: path, name: path, value: [resolution, quality].filter(Boolean).join(" · ") }));
}

/** Of all folders together, label and value; "" where there is nothing to say. */
export function figures(seen: FolderPreview[]): [string, string][] {
  const sum = (of: (one: FolderPreview) => number) => seen.reduce((total, one) => total + of(one), 0);
  const length = sum((one) => one.media?.duration_seconds ?? 0);
  const films = sum((one) => one.media?.file_count ?? 0);
  const rated = ratings(seen);
  const measured = sum((one) => one.media?.measured_count ?? 0);
  const media = length === 0 ? text.mediaUnknown(films) : measured < films ? text.mediaSome(duration(length), measured, films) : text.media(duration(length), films);
  return [
    [text.kinds, kinds(seen)],
    [text.film, films > 0 ? media : ""],
    ...(rated ? [[text.quality, rated] as [string, string]] : []),
  ];
}

/** Every ending of one folder with its number of files. */
export function types({ types: all = [] }: FolderPreview): Entry[] {
  return all.map(({ type, file_count, size_bytes }) => ({ key: type, name: type === REST ? text.otherEndings : type || text.noEnding, value: text.holds(file_count, size_bytes) }));
}

export function largest({ largest: all = [] }: FolderPreview): Entry[] {
  return all.slice(0, FIRST).map(({ path, size_bytes }) => ({ key: path, name: path, value: bytes(size_bytes) }));
}

/** Subfolders, each followed by its own. */
export function tree({ tree: all = [] }: FolderPreview): Entry[] {
  const below = (path: string) => all.filter((one) => one.depth === 2 && one.path.startsWith(`${path}/`));
  return all
    .flatMap((one) => (one.depth === 1 ? [one, ...below(one.path)] : []))
    .map(({ path, depth, file_count, size_bytes }) => ({ key: path, name: `${path.slice(path.lastIndexOf("/") + 1)}/`, depth, value: text.holds(file_count, size_bytes) }));
}
