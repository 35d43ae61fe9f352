/** What a look into the chosen folders tells. Pure. */
import type { FolderPreview } from "../../api/types";
import { reviewText } from "../../text/enReview";
import { duration } from "../../util/time";
import { bytes } from "../../util/units";

const text = reviewText.look;
const KINDS = 4;
const FIRST = 10;
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

/** Of all folders together, label and value; "" where there is nothing to say. */
export function figures(seen: FolderPreview[]): [string, string][] {
  const sum = (of: (one: FolderPreview) => number) => seen.reduce((total, one) => total + of(one), 0);
  const length = sum((one) => one.media?.duration_seconds ?? 0);
  const films = sum((one) => one.media?.file_count ?? 0);
  const measured = sum((one) => one.media?.measured_count ?? 0);
  const media = length === 0 ? text.mediaUnknown(films) : measured < films ? text.mediaSome(duration(length), measured, films) : text.media(duration(length), films);
  return [
    [text.kinds, kinds(seen)],
    [text.film, films > 0 ? media : ""],
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
