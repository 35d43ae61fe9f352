/** What the app reads: one key and one call per thing, so that live messages know what to patch. */
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";

import { answer, api, ask, total } from "./client";
import { isPassing } from "./errors";
import { hasEnded } from "./jobCan";
import { useLogin } from "./session";
import type { AuditEntry, Folder, JobDetail, JobLogLine, JobSummary, Kind, Queue, Status } from "./types";

export interface FolderQuery {
  q?: string;
  level1?: string;
  level2?: string;
  sort: "path" | "name" | "size" | "modified" | "files";
  order: "asc" | "desc";
  include?: string[];
  /** Only what can be archived now. */
  offered?: boolean;
  limit: number;
  offset: number;
}

export interface FolderPage {
  items: Folder[];
  total: number;
  scannedAt: string | null;
  scanRunning: boolean;
}

export interface JobQuery {
  status: Status[];
  kind?: Kind[];
  user?: string;
  q?: string;
  ended_from?: string;
  ended_to?: string;
  sort?: "created" | "ended" | "name" | "size" | "duration";
  order?: "asc" | "desc";
  limit: number;
  offset: number;
}

export interface JobPage {
  items: JobSummary[];
  total: number;
}

export const keys = {
  me: ["me"] as const,
  folders: ["folders"] as const,
  queue: ["queue"] as const,
  jobs: ["jobs"] as const,
  anyJob: ["job"] as const,
  job: (id: string) => ["job", id] as const,
  logs: (id: string) => ["logs", id] as const,
  system: ["system"] as const,
  users: ["users"] as const,
  /** Not below `folders`: live messages patch whatever is there as pages of folders. */
  places: ["places"] as const,
  preview: (path: string) => ["preview", path] as const,
  settings: ["settings"] as const,
  globus: ["globus"] as const,
  tokens: ["tokens"] as const,
  audit: ["audit"] as const,
  stats: ["stats"] as const,
  failures: ["failures"] as const,
  files: ["files"] as const,
  packs: ["packs"] as const,
  space: ["space"] as const,
  uploads: ["uploads"] as const,
};

export const POLL_MS = 10_000;
export const WORKSPACE_KINDS = ["pack", "compress", "extract"] as const satisfies readonly Kind[];
export const ALL_KINDS = ["archive", ...WORKSPACE_KINDS] as const satisfies readonly Kind[];
/** The states that a workspace job has before its end. */
const UNDER_WAY = ["queued", "running", "verifying", "deleting_source"] as const satisfies readonly Status[];
const MOST_TASKS = 100;
const FAILURES_MS = 30_000;
/** More failures than these are not read, nor counted. */
export const MOST_FAILURES = 100;

/** A failure that may pass is tried again by itself, so that no page stays old after an outage. */
export function whileFailing(query: { state: { error: Error | null } }): number | false {
  return isPassing(query.state.error) ? POLL_MS : false;
}

export interface AuditQuery {
  q?: string;
  actor?: string;
  action?: string[];
  from?: string;
  to?: string;
  cursor?: string;
}

export interface AuditPage {
  items: AuditEntry[];
  total: number;
  /** False: there are more than could be counted. */
  exact: boolean;
  next: string | null;
}

const AUDIT_PAGE = 50;
const STATS_MS = 5000;
const HISTORY_MS = 30_000;

async function readAudit(query: AuditQuery): Promise<AuditPage> {
  const { data, headers } = await answer(api.GET("/api/audit", { params: { query: { ...query, limit: AUDIT_PAGE } } }));
  const items = data as AuditEntry[]; // the document cannot say it, because the route also streams files
  return { items, total: total(headers, items.length), exact: headers.get("x-total-estimated") === null, next: headers.get("x-next-cursor") };
}

export async function readFolders(query: FolderQuery, refresh = false): Promise<FolderPage> {
  const { data, headers } = await answer(api.GET("/api/folders", { params: { query: { ...query, refresh } } }));
  return {
    items: data,
    total: total(headers, data.length),
    scannedAt: headers.get("x-scanned-at"),
    scanRunning: headers.get("x-scan-running") === "true",
  };
}

export async function readJobs(query: JobQuery): Promise<JobPage> {
  const { data, headers } = await answer(api.GET("/api/jobs", { params: { query } }));
  const items = data as JobSummary[]; // the document cannot say it, because the route also streams files
  return { items, total: total(headers, items.length) };
}

export const queries = {
  me: () => queryOptions({ queryKey: keys.me, queryFn: () => ask(api.GET("/api/auth/me")), staleTime: 300_000, refetchInterval: whileFailing }),
  folders: (query: FolderQuery) =>
    queryOptions({ queryKey: [...keys.folders, query], queryFn: () => readFolders(query), placeholderData: keepPreviousData }),
  queue: () => queryOptions<Queue>({ queryKey: keys.queue, queryFn: () => ask(api.GET("/api/queue")) }),
  jobs: (query: JobQuery) =>
    queryOptions({ queryKey: [...keys.jobs, query], queryFn: () => readJobs(query), placeholderData: keepPreviousData }),
  /** Packs, archives and extractions that have not ended. */
  tasks: () => queries.jobs({ kind: [...WORKSPACE_KINDS], status: [...UNDER_WAY], limit: MOST_TASKS, offset: 0 }),
  /** Failed jobs that need attention. Nothing tells live that somebody dismissed one, so the list is read again now and then. */
  failures: () => queryOptions<JobSummary[]>({ queryKey: keys.failures, queryFn: () => ask(api.GET("/api/jobs/failures", { params: { query: { limit: MOST_FAILURES } } })), refetchInterval: FAILURES_MS }),
  job: (id: string) =>
    queryOptions<JobDetail>({
      queryKey: keys.job(id),
      queryFn: () => ask(api.GET("/api/jobs/{job_id}", { params: { path: { job_id: id } } })),
    }),
  places: (archived: boolean) =>
    queryOptions({
      queryKey: [...keys.places, archived],
      queryFn: () => ask(api.GET("/api/folders/places", { params: { query: archived ? { include: ["archived", "ignored"] } : {} } })),
      placeholderData: keepPreviousData,
    }),
  settings: () => queryOptions({ queryKey: keys.settings, queryFn: () => ask(api.GET("/api/config/settings")) }),
  /** Only when it is asked for: it talks to Globus. */
  globus: () => queryOptions({ queryKey: keys.globus, queryFn: () => ask(api.GET("/api/system/globus")), enabled: false, gcTime: 0, retry: false }),
  tokens: () => queryOptions({ queryKey: keys.tokens, queryFn: () => ask(api.GET("/api/tokens")) }),
  audit: (query: AuditQuery) => queryOptions({ queryKey: [...keys.audit, query], queryFn: () => readAudit(query), placeholderData: keepPreviousData }),
  stats: () => queryOptions({ queryKey: keys.stats, queryFn: () => ask(api.GET("/api/stats")), refetchInterval: STATS_MS }),
  /** The last half hour, as the gateway has seen it. */
  statsHistory: () =>
    queryOptions({ queryKey: [...keys.stats, "history"], queryFn: () => ask(api.GET("/api/stats/history")), refetchInterval: HISTORY_MS }),
  users: () => queryOptions({ queryKey: keys.users, queryFn: () => ask(api.GET("/api/users")), refetchInterval: whileFailing }),
  system: () =>
    queryOptions({ queryKey: keys.system, queryFn: () => ask(api.GET("/api/system/status")), refetchInterval: 30_000, staleTime: 5000 }),
};

/** Lines after `after`; null: the last `limit`. */
export async function readLogs(id: string, after: number | null, limit: number): Promise<{ lines: JobLogLine[]; total: number }> {
  const query = after === null ? { limit } : { limit, after };
  const { data, headers } = await answer(api.GET("/api/jobs/{job_id}/logs", { params: { path: { job_id: id }, query } }));
  const lines = data as JobLogLine[]; // as above
  return { lines, total: total(headers, lines.length) };
}

export function useMe() {
  return useQuery({ ...queries.me(), enabled: useLogin() !== null });
}

/** Packs, archives and extractions that have not ended, oldest first: so each keeps its place while others come. */
export function useTasks(refetchInterval?: (query: { state: { error: Error | null } }) => number | false): { tasks: JobSummary[]; pending: boolean } {
  const { data, isPending } = useQuery({ ...queries.tasks(), refetchInterval });
  return { tasks: (data?.items ?? []).filter((job) => !hasEnded(job.status)).toReversed(), pending: isPending };
}

/** How many jobs have failed and need attention, in figures; null: none. */
export function useFailed(): string | null {
  const failed = useQuery(queries.failures()).data?.length ?? 0;
  if (failed === 0) return null;
  return failed < MOST_FAILURES ? String(failed) : `${MOST_FAILURES - 1}+`;
}
