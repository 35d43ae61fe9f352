/** What of the history is wanted: the address of the page, the query, and the file. Pure. */
import type { JobQuery } from "../../api/queries";
import type { Status } from "../../api/types";
import type { Zone } from "../../theme/preferences";
import { dayStart } from "../../util/time";

export const ENDED = ["completed", "failed", "cancelled"] as const satisfies readonly Status[];
export type Ended = (typeof ENDED)[number];

export const SORTS = ["ended", "name", "size", "duration"] as const;
export type Sort = (typeof SORTS)[number];
export type Direction = "asc" | "desc";

const OTHER: Record<Direction, Direction> = { asc: "desc", desc: "asc" };

export const FILTERS = ["q", "status", "user", "from", "to"] as const;

export function isFiltered(query: URLSearchParams): boolean {
  return FILTERS.some((name) => query.get(name));
}

/** The states that the address names; none of them means all. */
export function states(query: URLSearchParams): Ended[] {
  const named = (query.get("status") ?? "").split(",");
  return ENDED.filter((status) => named.includes(status));
}

/** Names begin with A; the newest, largest and longest come first. */
function usual(sort: Sort): Direction {
  return sort === "name" ? "asc" : "desc";
}

export function order(query: URLSearchParams): { sort: Sort; order: Direction } {
  const sort = SORTS.find((known) => known === query.get("sort")) ?? "ended";
  const named = query.get("order");
  return { sort, order: named === "asc" || named === "desc" ? named : usual(sort) };
}

/** What the address becomes after a click on a column: its usual direction, then the other. */
export function sorted(query: URLSearchParams, by: Sort): { sort: string | null; order: Direction | null } {
  const now = order(query);
  const turns = now.sort === by && now.order === usual(by);
  return { sort: by === "ended" ? null : by, order: turns ? OTHER[usual(by)] : null };
}

/** The query without its page. Days begin at midnight of the zone that the reader chose; `to` is the last day. */
export function asked(query: URLSearchParams, zone: Zone): Omit<JobQuery, "limit" | "offset"> {
  const chosen = states(query);
  return {
    status: chosen.length > 0 ? chosen : [...ENDED],
    q: query.get("q") || undefined,
    user: query.get("user") || undefined,
    ended_from: dayStart(query.get("from"), zone, 0),
    ended_to: dayStart(query.get("to"), zone, 1),
    ...order(query),
  };
}

/** Everything that matches, written by the gateway while it is downloaded. */
export function exportAddress({ status, ...rest }: Omit<JobQuery, "limit" | "offset">): string {
  const query = new URLSearchParams({ format: "csv", status: status.join(",") });
  for (const [name, value] of Object.entries(rest)) if (value) query.set(name, String(value));
  return `/api/jobs?${query}`;
}
