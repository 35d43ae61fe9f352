/** Where live messages meet the query cache: the only place that writes into it from outside a request. */
import { type Query, QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";

import { ApiError, isPassing } from "./errors";
import { hasEnded } from "./jobCan";
import { Live, type Connection } from "./live";
import { readMissed, type Missed } from "./missed";
import { missesJob, patchFolders, patchJob, patchJobs, patchPacks, patchQueue, type Updates } from "./patch";
import { keys, POLL_MS, queries, whileFailing, type FolderPage, type JobPage } from "./queries";
import { session } from "./session";
import { silence } from "./silence";
import { stand, type Standing } from "./standing";
import type { JobDetail, JobUpdate, LiveMessage, PackTask, Queue } from "./types";

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2000,
      retry: (failures, error) => isPassing(error) && failures < 2,
      retryDelay: (failures) => Math.min(1000 * 2 ** failures, 10_000),
      networkMode: "always", // the gateway may be on this very machine
    },
    mutations: { networkMode: "always" },
  },
});

const REREAD_MS = 250;
interface Known {
  attempt: number;
  version: number;
  status: string;
}
const newest = new Map<string, Known>();
const standings = new Map<string, Standing>();
/** Between a reconnection and its snapshot. */
let resuming = false;
const logListeners = new Map<string, Set<() => void>>();
let dirty = new Map<string, readonly unknown[]>();
let timer: number | undefined;

/** Read again soon, once, however many messages ask for it. */
function reread(key: readonly unknown[]) {
  dirty.set(JSON.stringify(key), key);
  timer ??= window.setTimeout(() => {
    const asked = dirty;
    dirty = new Map();
    timer = undefined;
    for (const queryKey of asked.values()) readAgain({ queryKey });
  }, REREAD_MS);
}

interface Asked {
  queryKey?: readonly unknown[];
}

function beingRead(asked: Asked): Query[] {
  return queryClient.getQueryCache().findAll({ ...asked, fetchStatus: "fetching" });
}

/** Call `then` when a read on its way has been answered: the answer may be from before what we know. */
function whenAnswered(query: Query, then: () => void) {
  void query.fetch().then(then, then);
}

const first = new Set<string>();

/** Invalidating calls off what is being read, but for the first read of something: that is waited for, and done once more. */
function readAgain(asked: Asked = {}) {
  for (const query of beingRead(asked)) {
    const { queryHash, queryKey } = query;
    if (query.state.data !== undefined || first.has(queryHash)) continue;
    first.add(queryHash);
    whenAnswered(query, () => {
      first.delete(queryHash);
      void queryClient.invalidateQueries({ queryKey, exact: true });
    });
  }
  void queryClient.invalidateQueries(asked);
}

/** Apply one frame's messages. Exported for its test. */
export function apply(messages: LiveMessage[]) {
  const updates = new Map<string, JobUpdate>();
  for (const message of messages) {
    if (message.type === "job_update") updates.set(message.job_id, message);
    else if (message.type === "snapshot") reconcile(new Set(message.job_ids));
    else if (message.type === "queue_update") checkQueue(message.queue_length, message.order);
    else if (message.type === "log") for (const listener of logListeners.get(message.job_id) ?? []) listener();
  }
  const before = new Map([...updates.keys()].map((id) => [id, newest.get(id)]));
  const fresh = new Map([...updates].filter(([, update]) => isNewer(update)));
  if (fresh.size === 0) return;
  patchLists(fresh);
  for (const update of fresh.values()) {
    patchOpenJob(update);
    noteEntering(update, before.get(update.job_id));
  }
}

/** A snapshot names every live job. What a page shows as live beyond these ended after it was read and before we listened. */
function reconcile(live: ReadonlySet<string>) {
  const again = resuming;
  resuming = false;
  if (again) return; // everything is being read already
  compare(live);
  for (const query of beingRead({})) whenAnswered(query, () => compare(live));
}

/** Read everything again if something on the page is live that is not among the live ones. */
function compare(live: ReadonlySet<string>) {
  const queue = queryClient.getQueryData<Queue>(keys.queue);
  const folders = queryClient.getQueriesData<FolderPage>({ queryKey: keys.folders }).flatMap(([, page]) => page?.items ?? []);
  const jobs = queryClient.getQueriesData<JobDetail>({ queryKey: keys.anyJob }).flatMap(([, job]) => job ?? []);
  if (missesJob(live, queue, folders, [...jobs, ...shownWorkspaceJobs()])) readAgain();
}

/** Packs, archives and extractions in the lists of the file pages. */
function shownWorkspaceJobs(): Pick<JobDetail, "job_id" | "status">[] {
  const packs = queryClient.getQueriesData<PackTask[]>({ queryKey: keys.packs }).flatMap(([, list]) => list ?? []);
  const others = queryClient.getQueriesData<JobPage>({ queryKey: keys.jobs }).flatMap(([, page]) => page?.items ?? []);
  return [...packs.map((pack) => ({ job_id: pack.id, status: pack.job_status })), ...others.filter((job) => job.kind !== "archive")];
}

/** Remembers what is newer than what is known. */
function isNewer(update: JobUpdate): boolean {
  const before = newest.get(update.job_id);
  if (before && (update.version < before.version || update.attempt < before.attempt)) return false;
  newest.set(update.job_id, { attempt: update.attempt, version: update.version, status: update.status });
  if (hasEnded(update.status)) standings.delete(update.job_id);
  else standings.set(update.job_id, stand(standings.get(update.job_id), update, Date.now()));
  return true;
}

function patchLists(updates: Updates) {
  queryClient.setQueryData<Queue>(keys.queue, (queue) => {
    if (!queue) return queue;
    const patched = patchQueue(queue, updates);
    if (patched.moved) reread(keys.queue);
    return patched.queue;
  });
  queryClient.setQueriesData<JobPage>({ queryKey: keys.jobs }, (page) => {
    const items = page && patchJobs(page.items, updates);
    return page && items && items !== page.items ? { ...page, items } : page;
  });
  queryClient.setQueriesData<PackTask[]>({ queryKey: keys.packs }, (packs) => packs && patchPacks(packs, updates));
  queryClient.setQueriesData<FolderPage>({ queryKey: keys.folders }, (page) => {
    const items = page && patchFolders(page.items, updates);
    return page && items && items !== page.items ? { ...page, items } : page;
  });
}

function patchOpenJob(update: JobUpdate) {
  const known = queryClient.getQueryData<JobDetail>(keys.job(update.job_id));
  if (!known) return;
  const patched = patchJob(known, update);
  if (known.status !== update.status || known.attempt !== update.attempt) reread(keys.job(update.job_id));
  if (patched !== known) queryClient.setQueryData(keys.job(update.job_id), patched);
}

/** A job that enters another state changes more than its own figures: its log, the counters, the lists it belongs to. */
function noteEntering(update: JobUpdate, before: Known | undefined) {
  if (before?.status === update.status && before.attempt === update.attempt) return;
  if (before) for (const listener of logListeners.get(update.job_id) ?? []) listener();
  if (update.kind !== "archive") noteWorkspace(update);
  for (const key of [keys.queue, keys.job(update.job_id)]) if (beingRead({ queryKey: key }).length > 0) reread(key);
  // The first message about a job after connecting repeats what was just read.
  if (!before && update.status !== "queued" && !hasEnded(update.status)) return;
  reread(keys.system);
  reread(keys.failures); // it failed, or it did and is tried again
  if (hasEnded(update.status) || update.status === "queued") {
    reread(keys.jobs);
    reread(keys.folders);
  }
}

/** What a pack, an archive or an extraction leaves shows in the folder, in the space and in the list of packs. */
function noteWorkspace(update: JobUpdate) {
  if (update.kind === "pack") reread(keys.packs);
  reread(keys.space);
  const isListed = queryClient.getQueryData<JobPage>(queries.tasks().queryKey)?.items.some((job) => job.job_id === update.job_id);
  if (hasEnded(update.status) || update.status === "queued" || !isListed) {
    reread(keys.files);
    reread(keys.jobs);
  }
}

let order: number | undefined;

/** `now`: a number that changes with the order of the waiting jobs. */
function checkQueue(length: number, now: number | undefined) {
  const queue = queryClient.getQueryData<Queue>(keys.queue);
  if (queue && (queue.queued_jobs.length !== length || (order !== undefined && order !== now))) reread(keys.queue);
  order = now;
}

/** Call `listener` when the job's log has grown. Returns how to stop. */
export function onLog(jobId: string, listener: () => void): () => void {
  const listeners = logListeners.get(jobId) ?? new Set();
  listeners.add(listener);
  logListeners.set(jobId, listeners);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) logListeners.delete(jobId);
  };
}

/**
 * After a gap everything on the page is read again at once: a place in the queue, a reason to wait or a scan has no event. The events
 * that were missed are read besides, to say what ended meanwhile.
 */
function resumed(after: number | null) {
  resuming = true;
  newest.clear();
  standings.clear();
  readAgain();
  for (const listeners of logListeners.values()) for (const listener of listeners) listener();
  if (after !== null) void tellMissed(after);
}

let onMissed: (missed: Missed) => void = () => {};

/** `listener` hears what ended while the connection was away, if anything did. */
export function listenToMissed(listener: (missed: Missed) => void) {
  onMissed = listener;
}

async function tellMissed(after: number) {
  try {
    const missed = await readMissed(after);
    if (missed.ended > 0) onMissed(missed);
  } catch {
    // Too much has happened, or the gateway has gone again: everything is read again in any case.
  }
}

const live = new Live({
  heard: silence.heard,
  messages: apply,
  resumed,
  refused: (reason) => {
    if (reason === "login") session.end();
    else void queryClient.invalidateQueries({ queryKey: keys.me });
  },
});

/** Follow the login: connect while there is one, forget everything when it ends. */
export function follow(login: string | null) {
  live.use(login);
  silence.use(login);
  if (login === null) {
    newest.clear();
    standings.clear();
    queryClient.clear();
  }
}

export function useConnection(): Connection {
  return useSyncExternalStore(live.subscribe, live.connection);
}

/** Since when a job's figures have stood still, as far as this tab has listened; undefined: nothing was heard of it. */
export function standingOf(jobId: string): Standing | undefined {
  return standings.get(jobId);
}

/** Read again every 10 s while the socket does not come through (a proxy without WebSockets, for example), or after a failure. */
export function usePolling(): (query: { state: { error: Error | null } }) => number | false {
  const unheard = useConnection().failures >= 3;
  return (query) => (unheard ? POLL_MS : whileFailing(query));
}

export { ApiError };
