/** The form of the run-time settings: what is shown, what was typed, what would be sent. Pure. */
import type { Setting } from "../../api/types";
import { adminText } from "../../text/enAdmin";
import { count, exactSize, parseSize } from "../../util/units";

export type Value = Setting["value"];
/** What was typed, by name; null: goes back to the default; undefined: as it was. */
export type Draft = Readonly<Record<string, string | null | undefined>>;

export const GROUPS: Record<Exclude<keyof typeof adminText.config.groups, "other">, readonly string[]> = {
  lanes: ["compress_limit", "upload_limit", "delete_limit", "workspace_limit"],
  retries: ["max_compression_retries", "max_upload_retries", "max_connection_error_retries", "retry_delay_seconds"],
  pauses: ["scan_interval_seconds", "space_check_seconds"],
  space: ["min_free_disk", "space_pass_hours", "failed_retention_days"],
  files: ["workspace_quota", "workspace_entries", "max_task_size", "pack_format", "pack_compression_level", "pack_retention_days", "nas_browsing", "hidden_file_extensions"],
  users: ["user_jobs_limit", "user_streams_limit", "login_limit"],
};

/** The settings in their groups; one that this page does not know yet comes last, and is as good as the others. */
export function grouped(settings: Setting[]): { title: string; settings: Setting[] }[] {
  const known = new Set(Object.values(GROUPS).flat());
  const groups = Object.entries(GROUPS).map(([name, members]) => ({
    title: adminText.config.groups[name as keyof typeof GROUPS],
    settings: members.flatMap((member) => settings.filter((setting) => setting.name === member)),
  }));
  const other = { title: adminText.config.groups.other, settings: settings.filter((setting) => !known.has(setting.name)) };
  return [...groups, other].filter((group) => group.settings.length > 0);
}

export function label(setting: Setting): string {
  return adminText.config.names[setting.name] ?? setting.name;
}

/** A value as it stands in its field. Nothing is lost: parsing it again gives the value. */
export function typed(setting: Setting, value: Value): string {
  if (Array.isArray(value)) return value.join(", ");
  return setting.unit === "bytes" ? exactSize(Number(value)) : String(value);
}

/** A value in a sentence. */
export function said(setting: Setting, value: Value): string {
  if (Array.isArray(value)) return value.join(", ") || adminText.config.none;
  if (setting.kind === "choice") return adminText.config.choices[String(value)] ?? String(value);
  if (setting.unit === "") return setting.kind === "whole" ? count(Number(value)) : typed(setting, value);
  return setting.unit === "bytes" ? typed(setting, value) : adminText.config.amounts[setting.unit](Number(value));
}

/** What the field takes, in a sentence; empty where the field itself shows it. */
export function range(setting: Setting): string {
  if (setting.kind === "list") return adminText.config.listHint;
  if (setting.unit === "bytes") return adminText.config.sizeHint;
  if (setting.low === null || setting.high === null) return "";
  return adminText.config.range(count(setting.low), setting.unit === "" ? count(setting.high) : said(setting, setting.high));
}

type Parsed = { value: Value; problem: null } | { value: null; problem: string };

function wrong(problem: string): Parsed {
  return { value: null, problem };
}

/** What was typed as a value, or what is wrong with it. The rules are the gateway's; this says them before it is asked. */
export function parsed(setting: Setting, input: string): Parsed {
  const trimmed = input.trim();
  const [low, high] = [setting.low ?? Number.NEGATIVE_INFINITY, setting.high ?? Number.POSITIVE_INFINITY];
  if (setting.kind === "choice") return { value: trimmed, problem: null };
  if (setting.kind === "list") return { value: trimmed.split(/[\s,;]+/).filter(Boolean), problem: null };
  if (setting.unit === "bytes") {
    const size = parseSize(trimmed);
    if (size === null) return wrong(adminText.config.needSize);
    return size >= low && size <= high ? { value: size, problem: null } : wrong(adminText.config.needSizeRange(exactSize(low), exactSize(high)));
  }
  const number = trimmed === "" ? Number.NaN : Number(trimmed);
  const fits = Number.isFinite(number) && number >= low && number <= high && (setting.kind === "number" || Number.isInteger(number));
  if (fits) return { value: number, problem: null };
  return wrong((setting.kind === "whole" ? adminText.config.needWhole : adminText.config.needNumber)(count(low), count(high)));
}

export interface Change {
  setting: Setting;
  to: Value;
  reset: boolean;
}

export interface Changes {
  changes: Change[];
  problems: Record<string, string>;
}

/** What the draft changes, and what is wrong with it. Typing the old value again is no change. */
export function changesOf(settings: Setting[], draft: Draft): Changes {
  const changes: Change[] = [];
  const problems: Record<string, string> = {};
  for (const setting of settings) {
    const input = draft[setting.name];
    if (input === undefined) continue;
    if (input === null) {
      if (setting.changed_by !== null) changes.push({ setting, to: setting.default, reset: true });
      continue;
    }
    const { value, problem } = parsed(setting, input);
    if (problem !== null) problems[setting.name] = problem;
    else if (JSON.stringify(value) !== JSON.stringify(setting.value)) changes.push({ setting, to: value, reset: false });
  }
  return { changes, problems };
}

/** The body of `PUT /api/config`. */
export function update(changes: Change[]): Record<string, unknown> {
  const values = Object.fromEntries(changes.filter((change) => !change.reset).map((change) => [change.setting.name, change.to]));
  return { ...values, reset: changes.filter((change) => change.reset).map((change) => change.setting.name) };
}
