/** What the file pages read and ask for. Fetched with them. */
import { queryOptions } from "@tanstack/react-query";

import { answer, api, ask, total } from "./client";
import { fromResponse, fromThrown } from "./errors";
import { keys } from "./queries";
import type { ArchiveContent, FileEntry } from "./types";

export type RootName = "workspace" | "nas";
export const SORTS = ["name", "size", "modified"] as const;
export type Sort = (typeof SORTS)[number];

export interface FileQuery {
  root: RootName;
  path: string;
  q?: string;
  recursive?: boolean;
  sort: Sort;
  order: "asc" | "desc";
  limit: number;
  offset: number;
}

export interface FilePage {
  items: FileEntry[];
  total: number;
  /** False: a search was ended by its limits. */
  complete: boolean;
}

export interface ContentsQuery {
  root: RootName;
  path: string;
  q?: string;
  limit: number;
  offset: number;
}

export interface ContentsPage {
  items: ArchiveContent[];
  total: number;
}

async function readFiles(query: FileQuery): Promise<FilePage> {
  const { data, headers } = await answer(api.GET("/api/files", { params: { query } }));
  return { items: data, total: total(headers, data.length), complete: headers.get("x-search-incomplete") !== "true" };
}

/** The password goes in a header: never in an address, never in a key. */
function unlocking(password: string) {
  // Headers are bytes: what is not ASCII goes as UTF-8.
  const bytes = [...new TextEncoder().encode(password ?? "")];
  return password ? { "X-Archive-Password": String.fromCharCode(...bytes) } : {};
}

async function readContents(query: ContentsQuery, password: string): Promise<ContentsPage> {
  const call = api.GET("/api/archives/entries", { params: { query, header: unlocking(password) } });
  const { data, headers } = await answer(call);
  return { items: data, total: total(headers, data.length) };
}

function isSameFolder(one: FileQuery | undefined, other: FileQuery): boolean {
  return one?.root === other.root && one.path === other.path;
}

export const fileQueries = {
  list: (query: FileQuery) =>
    queryOptions({
      queryKey: [...keys.files, query],
      queryFn: () => readFiles(query),
      // Another page or search of the same folder stays in sight; another folder's rows do not.
      placeholderData: (before, of) => (isSameFolder(of?.queryKey[1] as FileQuery | undefined, query) ? before : undefined),
    }),
  info: (path: string) => queryOptions({ queryKey: [...keys.files, "info", path], queryFn: () => ask(api.GET("/api/files/info", { params: { query: { path } } })), staleTime: 0 }),
  space: () => queryOptions({ queryKey: keys.space, queryFn: () => ask(api.GET("/api/files/pack/available-space")) }),
  packs: (limit: number) => queryOptions({ queryKey: [...keys.packs, limit], queryFn: () => ask(api.GET("/api/files/pack", { params: { query: { limit } } })) }),
  uploads: () => queryOptions({ queryKey: keys.uploads, queryFn: () => ask(api.GET("/api/files/uploads")) }),
  media: (root: RootName, path: string) =>
    queryOptions({ queryKey: [...keys.files, "media", root, path], queryFn: () => ask(api.GET("/api/media/info", { params: { query: { root, path } } })), retry: false }),
  /** `unlocked` changes with the password, which is no part of the key. */
  contents: (query: ContentsQuery, password: string, unlocked: number) =>
    queryOptions({
      queryKey: ["contents", query, unlocked],
      queryFn: () => readContents(query, password),
      placeholderData: (before) => before,
      gcTime: 0,
      retry: false,
    }),
  archiveStats: (root: RootName, path: string, password: string, unlocked: number) =>
    queryOptions({
      queryKey: ["contents", "stats", root, path, unlocked],
      queryFn: () => ask(api.GET("/api/archives/stats", { params: { query: { root, path }, header: unlocking(password) } })),
      gcTime: 0,
      retry: false,
    }),
};

/** Why a picture did not come: the gateway's words; null when it has none (it came meanwhile, for example). */
export async function whyNot(address: string): Promise<string | null> {
  try {
    const response = await fetch(address);
    return response.ok ? null : fromResponse(response, await response.json()).message;
  } catch (thrown) {
    return fromThrown(thrown).message;
  }
}

export function makeFolder(path: string, parents = false) {
  return ask(api.POST("/api/files/folders", { body: { path, parents } }));
}

export function moveFile(source: string, target: string) {
  return ask(api.POST("/api/files/move", { body: { source, target, overwrite: false } }));
}

export function deleteFile(entry: Pick<FileEntry, "path" | "is_dir">) {
  return ask(api.DELETE("/api/files", { params: { query: { path: entry.path, recursive: entry.is_dir } } }));
}
