/** Every address of the app is made here; paths.test.ts shows them all. */
export type Query = Record<string, string | undefined>;

function withQuery(path: string, query: Query): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
  const text = new URLSearchParams(given).toString();
  return text ? `${path}?${text}` : path;
}

export const paths = {
  home: () => "/",
  login: (next?: string) => withQuery("/login", { next }),
  changePassword: () => "/change-password",
  dashboard: () => "/dashboard",
  folders: (query: Query = {}) => withQuery("/folders", query),
  queue: () => "/queue",
  history: (query: Query = {}) => withQuery("/history", query),
  files: (query: Query = {}) => withQuery("/files", query),
  job: (id: string, line?: number) => `/jobs/${encodeURIComponent(id)}${line ? `#line-${line}` : ""}`,
  settings: () => "/settings",
  adminUsers: () => "/admin/users",
  adminSystem: () => "/admin/system",
  adminConfig: () => "/admin/config",
  adminAudit: (query: Query = {}) => withQuery("/admin/audit", query),
} as const;

/** The line of a log that an address points to (`#line-12`), or null. */
export function lineOf(hash: string): number | null {
  const found = /^#line-(\d{1,15})$/.exec(hash);
  return found ? Number(found[1]) : null;
}

/** What the browser fetches by itself: a link to be clicked, the source of a picture. */
export const downloads = {
  file: (path: string) => withQuery("/api/files/content", { path }),
  /** For a frame: a PDF as one. */
  shown: (path: string) => withQuery("/api/files/content", { path, inline: "true" }),
  thumbnail: (root: string, path: string, timestamp: string) => withQuery("/api/media/thumbnail", { root, path, timestamp, width: "640" }),
  contactSheet: (root: string, path: string) => withQuery("/api/media/contact-sheet", { root, path }),
  pack: (id: string) => `/api/files/pack/${encodeURIComponent(id)}/download`,
} as const;

/** Where a login leads back to: an address of this app, or home. Anything else (another site, the login itself) is not followed. */
export function safeNext(next: string | null): string {
  if (!next?.startsWith("/") || next.startsWith("//") || next.includes("\\")) return paths.home();
  return next.startsWith(paths.login()) ? paths.home() : next;
}
