import { expect, it } from "vitest";

import type { Setting } from "../../api/types";
import { changesOf, grouped, parsed, range, said, typed, update } from "./configForm";

function setting(more: Partial<Setting> = {}): Setting {
  return {
    name: "upload_limit",
    kind: "whole",
    unit: "",
    low: 1,
    high: 64,
    choices: [],
    about: "Uploads at the same time.",
    value: 2,
    default: 1,
    changed_by: "jane",
    changed_at: "2026-01-01T00:00:00Z",
    ...more,
  };
}

const space = setting({ name: "min_free_disk", unit: "bytes", low: 0, high: 2 ** 60, value: 10 * 1024 ** 3, default: 1500 });
const hours = setting({ name: "space_pass_hours", kind: "number", unit: "hours", low: 0, high: 10_000, value: 24, default: 24, changed_by: null });
const endings = setting({ name: "hidden_file_extensions", kind: "list", low: null, high: null, value: [".bak", ".tmp"], default: [] });
const format = setting({ name: "pack_format", kind: "choice", choices: ["zip", "7z"], low: null, high: null, value: "zip", default: "zip" });

it.each([setting(), space, hours, endings, format])("what a field shows is read again as the same value: %o", (one) => {
  expect(parsed(one, typed(one, one.value))).toEqual({ value: one.value, problem: null });
});

it.each([
  [setting(), "65", "Must be a whole number from 1 to 64."],
  [setting(), "1.5", "Must be a whole number from 1 to 64."],
  [setting(), "", "Must be a whole number from 1 to 64."],
  [hours, "-1", "Must be a number from 0 to 10,000."],
  [space, "much", "Must be a size such as 500 MB, 10 GB or 0 B."],
  [space, "2000 PB", "Must be from 0 B to 1024 PB."],
])("%o refuses %j in words", (one, typedIn, problem) => {
  expect(parsed(one, typedIn).problem).toBe(problem);
});

it("says values and limits with their units", () => {
  expect([said(hours, 24), range(hours), said(space, 1500), said(endings, []), said(format, "zip"), said(hours, 1)]).toEqual(["24 hours", "0 to 10,000 hours", "1500 B", "none", "ZIP", "1 hour"]);
});

it("sends what differs, and what goes back; what is wrong is named and not sent", () => {
  const { changes, problems } = changesOf([setting(), space, hours, endings], {
    upload_limit: "3",
    min_free_disk: null,
    space_pass_hours: "24", // typed again: no change
    hidden_file_extensions: ".bak, .tmp",
  });

  expect(update(changes)).toEqual({ upload_limit: 3, reset: ["min_free_disk"] });
  expect(problems).toEqual({});
  expect(changesOf([setting()], { upload_limit: "0" }).problems).toEqual({ upload_limit: "Must be a whole number from 1 to 64." });
  expect(changesOf([hours], { space_pass_hours: null }).changes).toEqual([]); // is the default already
});

it("shows a setting that it has no words for, too", () => {
  const groups = grouped([setting({ name: "brand_new" }), setting()]);

  expect(groups.map((group) => [group.title, group.settings.map((one) => one.name)])).toEqual([
    ["Concurrency", ["upload_limit"]],
    ["More", ["brand_new"]],
  ]);
});
