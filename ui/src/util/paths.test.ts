import { expect, it } from "vitest";

import { downloads, lineOf, paths, safeNext } from "./paths";

it("shows every address of the app", () => {
  const all = {
    home: paths.home(),
    login: paths.login("/jobs/1?x=y"),
    changePassword: paths.changePassword(),
    dashboard: paths.dashboard(),
    folders: paths.folders({ q: "a b", level1: undefined }),
    queue: paths.queue(),
    history: paths.history({ status: "failed" }),
    files: paths.files({ path: "a b/c", root: undefined }),
    download: downloads.file("a&b/c d"),
    packDownload: downloads.pack("../x"),
    job: paths.job("../x"),
    line: paths.job("1", 5),
    settings: paths.settings(),
    adminUsers: paths.adminUsers(),
    adminSystem: paths.adminSystem(),
    adminConfig: paths.adminConfig(),
    adminAudit: paths.adminAudit({ action: "login" }),
  };

  expect(all).toMatchInlineSnapshot(`
    {
      "adminAudit": "/admin/audit?action=login",
      "adminConfig": "/admin/config",
      "adminSystem": "/admin/system",
      "adminUsers": "/admin/users",
      "changePassword": "/change-password",
      "dashboard": "/dashboard",
      "download": "/api/files/content?path=a%26b%2Fc+d",
      "files": "/files?path=a+b%2Fc",
      "folders": "/folders?q=a+b",
      "history": "/history?status=failed",
      "home": "/",
      "job": "/jobs/..%2Fx",
      "line": "/jobs/1#line-5",
      "login": "/login?next=%2Fjobs%2F1%3Fx%3Dy",
      "packDownload": "/api/files/pack/..%2Fx/download",
      "queue": "/queue",
      "settings": "/settings",
    }
  `);
});

it.each([
  ["/queue", "/queue"],
  ["/history?status=failed", "/history?status=failed"],
  [null, "/"],
  ["https://evil.example", "/"],
  ["//evil.example", "/"],
  ["/\\evil.example", "/"],
  ["/login?next=/queue", "/"],
])("after a login, next=%s leads to %s", (next, expected) => {
  expect(safeNext(next)).toBe(expected);
});

it.each([
  ["#line-12", 12],
  ["#line-", null],
  ["#main", null],
  ["", null],
])("the address's %s is line %s of the log", (hash, expected) => {
  expect(lineOf(hash)).toBe(expected);
});
