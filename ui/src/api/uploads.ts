/**
 * Files on their way up, outside React: they go on while one looks at other pages. One after the other, each in parts, so that a
 * broken connection costs one part: the gateway says how far it got, and that is where it goes on.
 */
import { useSyncExternalStore } from "react";

import { api } from "./client";
import { ApiError, fromResponse, fromThrown, isPassing } from "./errors";
import { makeFolder } from "./files";
import { keys } from "./queries";
import { session } from "./session";
import { queryClient } from "./sync";
import type { UploadState } from "./types";
import { parentOf } from "../util/files";

export const PART_BYTES = 16 * 1024 ** 2;
/** How often the gateway may say in a row that it is somewhere else. */
const TRIES = 6;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

export interface Upload {
  id: number;
  /** Below the workspace, with its name. */
  path: string;
  size: number;
  sent: number;
  /** taken: something has this path already. */
  state: "waiting" | "sending" | "done" | "failed" | "taken";
  /** What went wrong; while it is sending: what it waits for to pass. */
  error: string | null;
}

export interface Arrived {
  /** Bytes that the gateway has. */
  received: number;
  isWhole: boolean;
  uploadId: string | null;
}

/** A request of an upload. Throws ApiError; with 409 `goOnAt` may say where to go on instead. */
export interface Request {
  path: string;
  tag: string;
  batch: string;
  overwrite: boolean;
  range: string;
  body: Blob | null;
  onSent: (bytes: number) => void;
  signal: AbortSignal;
}
export type Send = (request: Request) => Promise<Arrived>;

export class OutOfStep extends ApiError {
  readonly goOnAt: number;
  constructor(error: ApiError, goOnAt: number) {
    super(error.message, error.status, error.kind, error.requestId);
    this.goOnAt = goOnAt;
  }
}

/** First byte, and the byte after the last. */
export type Part = [number, number];

/** The next part; null when all is there. */
export function partAfter(received: number, size: number): Part | null {
  return received < size ? [received, Math.min(size, received + PART_BYTES)] : null;
}

/** Content-Range of a part, or of the question how far an upload got. */
export function rangeOf(part: Part | null, size: number): string {
  return part ? `bytes ${part[0]}-${part[1] - 1}/${size}` : `bytes */${size}`;
}

/** Tells this file from another one of its name. */
export function tagOf(file: Pick<File, "size" | "lastModified">): string {
  return `${file.size}-${file.lastModified}`;
}

interface Work {
  file: File;
  /** Names the files that were chosen together. */
  batch: string;
  overwrite: boolean;
  uploadId: string | null;
  stop: AbortController;
}

export class Uploads {
  private list: Upload[] = [];
  private readonly work = new Map<number, Work>();
  private readonly listeners = new Set<() => void>();
  private readonly made = new Set<string>();
  /** Of each batch, the files that have not arrived. */
  private readonly left = new Map<string, Set<number>>();
  private last = 0;
  private running = false;

  constructor(
    private readonly send: Send,
    private readonly hooks: { makeFolder: (path: string) => Promise<unknown>; arrived: () => void; giveUp: (uploadId: string) => Promise<unknown>; whole: (batch: string) => Promise<unknown>; wait: (ms: number, signal: AbortSignal) => Promise<void> },
  ) {}

  all = (): Upload[] => this.list;

  subscribe = (listener: () => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  /** Queue files; `path` is where each goes. Folders that are not there are made. */
  add(files: { file: File; path: string }[], folder: string) {
    this.made.clear();
    this.made.add(folder);
    const batch = `${Date.now()}-${Math.random()}`;
    this.left.set(batch, new Set());
    for (const { file, path } of files) {
      this.last += 1;
      this.left.get(batch)?.add(this.last);
      this.work.set(this.last, { file, batch, overwrite: false, uploadId: null, stop: new AbortController() });
      this.set([...this.list, { id: this.last, path, size: file.size, sent: 0, state: "waiting", error: null }]);
    }
    void this.run();
  }

  /** Once more: after a failure from where it got to; over what is in the way when that was asked for. */
  again(id: number, overwrite = false) {
    const work = this.work.get(id);
    if (!work) return;
    work.overwrite = overwrite;
    work.stop = new AbortController();
    this.change(id, { state: "waiting", error: null });
    void this.run();
  }

  /** Take it off the list; what has arrived of it is thrown away. */
  remove(id: number) {
    const work = this.work.get(id);
    const shown = this.list.find((upload) => upload.id === id);
    this.work.delete(id);
    this.set(this.list.filter((upload) => upload.id !== id));
    work?.stop.abort();
    if (work) this.settle(id, work.batch);
    if (work?.uploadId && shown?.state !== "done") void this.hooks.giveUp(work.uploadId);
  }

  clearDone() {
    for (const upload of this.list) if (upload.state === "done") this.remove(upload.id);
  }

  /** The login ended: nothing of it may go on. */
  stopAll() {
    for (const work of this.work.values()) work.stop.abort();
    this.work.clear();
    this.left.clear();
    this.set([]);
  }

  private set(list: Upload[]) {
    this.list = list;
    for (const listener of this.listeners) listener();
  }

  private change(id: number, change: Partial<Upload>) {
    this.set(this.list.map((upload) => (upload.id === id ? { ...upload, ...change } : upload)));
  }

  private async run() {
    if (this.running) return;
    this.running = true;
    for (;;) {
      const next = this.list.find((upload) => upload.state === "waiting");
      const work = next && this.work.get(next.id);
      if (!next || !work) break;
      this.change(next.id, { state: "sending" });
      // oxlint-disable-next-line no-await-in-loop -- one file after the other
      await this.bring(next, work);
    }
    this.running = false;
  }

  private async bring(upload: Upload, work: Work) {
    try {
      await this.makeFolderOf(upload.path);
      await this.sendAll(upload, work);
      this.change(upload.id, { state: "done", sent: upload.size });
      this.hooks.arrived();
      this.settle(upload.id, work.batch);
    } catch (thrown) {
      if (work.stop.signal.aborted) return;
      const error = fromThrown(thrown);
      this.change(upload.id, { state: error.status === 409 && !work.overwrite ? "taken" : "failed", error: error.message });
    }
  }

  /** It arrived, or was left out. The last one makes its batch whole: what auto-archive waits for. */
  private settle(id: number, batch: string) {
    const left = this.left.get(batch);
    if (!left?.delete(id) || left.size > 0) return;
    this.left.delete(batch);
    void this.hooks.whole(batch);
  }

  private async makeFolderOf(path: string) {
    const folder = parentOf(path);
    if (this.made.has(folder) || folder === "") return;
    await this.hooks.makeFolder(folder);
    this.made.add(folder);
  }

  private async sendAll(upload: Upload, work: Work) {
    let part: Part | null = null;
    let failures = 0;
    for (;;) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- each part begins where the one before ended
        const reached: Arrived = await this.sendPart(upload, work, part);
        if (reached.isWhole) return;
        part = partAfter(reached.received, upload.size);
        failures = 0;
      } catch (thrown) {
        failures += 1;
        if (work.stop.signal.aborted) throw thrown;
        // oxlint-disable-next-line no-await-in-loop -- the gateway needs a moment
        part = await this.recover(thrown, upload, work, failures);
      }
    }
  }

  private async sendPart(upload: Upload, work: Work, part: Part | null): Promise<Arrived> {
    const reached = await this.send({
      path: upload.path,
      tag: tagOf(work.file),
      batch: work.batch,
      overwrite: work.overwrite,
      range: rangeOf(part, upload.size),
      body: part && work.file.slice(...part),
      onSent: (bytes) => this.change(upload.id, { sent: (part?.[0] ?? 0) + bytes }),
      signal: work.stop.signal,
    });
    work.uploadId = reached.uploadId;
    this.change(upload.id, { sent: reached.received, error: null });
    return reached;
  }

  /** Where to go on after a failure; null: ask first. Waits for what will pass, however long; throws what will not. */
  private async recover(thrown: unknown, upload: Upload, work: Work, failures: number): Promise<Part | null> {
    if (thrown instanceof OutOfStep && failures < TRIES) return partAfter(thrown.goOnAt, upload.size);
    if (!isPassing(thrown)) throw thrown;
    this.change(upload.id, { error: fromThrown(thrown).message });
    await this.hooks.wait(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures), work.stop.signal);
    return null;
  }
}

/** By XMLHttpRequest: fetch cannot tell how much of a body has gone. */
const sendToGateway: Send = ({ path, tag, batch, overwrite, range, body, onSent, signal }) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ path, tag, batch, overwrite: String(overwrite) });
    request.open("PUT", `/api/files/content?${query.toString()}`);
    request.setRequestHeader("Content-Range", range);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => onSent(event.loaded));
    request.addEventListener("load", () => {
      try {
        resolve(understood(request));
      } catch (thrown) {
        reject(thrown);
      }
    });
    request.addEventListener("error", () => reject(fromThrown(new TypeError("network"))));
    request.addEventListener("abort", () => reject(fromThrown(new TypeError("stopped"))));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    if (signal.aborted) reject(fromThrown(new TypeError("stopped")));
    else request.send(body);
  });

function understood(request: XMLHttpRequest): Arrived {
  const headers = new Headers();
  for (const name of ["x-request-id", "retry-after", "upload-offset"]) {
    const value = request.getResponseHeader(name);
    if (value !== null) headers.set(name, value);
  }
  const body: unknown = parsed(request.responseText);
  if (request.status >= 200 && request.status < 300) {
    const state = body as UploadState;
    return { received: state.received_bytes, isWhole: state.entry !== null, uploadId: state.upload_id };
  }
  if (request.status === 401) session.end();
  const error = fromResponse(new Response(null, { status: request.status, headers }), body);
  const offset = headers.get("upload-offset");
  throw request.status === 409 && offset !== null ? new OutOfStep(error, Number(offset)) : error;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function readAgain() {
  for (const queryKey of [keys.files, keys.space, keys.uploads]) void queryClient.invalidateQueries({ queryKey });
}

async function giveUp(uploadId: string) {
  // A part that is just arriving is let go of first; what stays is thrown away by the gateway after a day.
  await fetch(`/api/files/uploads/${uploadId}`, { method: "DELETE" }).catch(() => undefined);
  readAgain();
}

export const uploads = new Uploads(sendToGateway, {
  makeFolder: (path) => makeFolder(path, true),
  arrived: readAgain,
  giveUp,
  whole: (batch) => api.POST("/api/files/auto-archive/batches", { body: { batch } }).catch(() => undefined),
  wait: (ms, signal) =>
    new Promise((resolve) => {
      window.setTimeout(resolve, ms);
      window.addEventListener("online", () => resolve(), { once: true });
      signal.addEventListener("abort", () => resolve(), { once: true });
    }),
});

session.subscribe(() => {
  if (session.id() === null) uploads.stopAll();
});

window.addEventListener("beforeunload", (event) => {
  if (uploads.all().some((upload) => upload.state === "waiting" || upload.state === "sending")) event.preventDefault();
});

export function useUploads(): Upload[] {
  return useSyncExternalStore(uploads.subscribe, uploads.all);
}
