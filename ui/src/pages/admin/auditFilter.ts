/** What of the audit log is wanted: the address of the page, and of the file. Pure. */
import type { AuditQuery } from "../../api/queries";
import type { Zone } from "../../theme/preferences";
import { dayStart } from "../../util/time";

export const FILTERS = ["q", "actor", "action", "from", "to"] as const;

export function isFiltered(query: URLSearchParams): boolean {
  return FILTERS.some((name) => query.get(name));
}

/** The address's words as the gateway takes them. Days begin at midnight of the zone that the reader chose; `to` is the last day. */
export function asked(query: URLSearchParams, zone: Zone): AuditQuery {
  const word = (name: string) => query.get(name) || undefined;
  const action = word("action");
  return {
    q: word("q"),
    actor: word("actor"),
    action: action ? [action] : undefined,
    from: dayStart(query.get("from"), zone, 0),
    to: dayStart(query.get("to"), zone, 1),
    cursor: word("cursor"),
  };
}

/** Everything that matches, written by the gateway while it is downloaded. */
export function exportAddress(wanted: AuditQuery, format: "csv" | "ndjson"): string {
  const query = new URLSearchParams({ format });
  for (const name of ["q", "actor", "from", "to"] as const) {
    const value = wanted[name];
    if (value) query.set(name, value);
  }
  for (const action of wanted.action ?? []) query.append("action", action);
  return `/api/audit?${query}`;
}
