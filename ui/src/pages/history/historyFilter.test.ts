import { expect, it } from "vitest";

import { asked, exportAddress, isFiltered, order, sorted, states } from "./historyFilter";

const query = (text: string) => new URLSearchParams(text);

it("reads several states, and takes what it does not know for all", () => {
  expect(states(query("status=failed,cancelled"))).toEqual(["failed", "cancelled"]);
  expect(asked(query("status=lost"), "utc").status).toEqual(["completed", "failed", "cancelled"]);
});

it("orders by end, the newest first, unless the address says otherwise", () => {
  expect(order(query(""))).toEqual({ sort: "ended", order: "desc" });
  expect(order(query("sort=name"))).toEqual({ sort: "name", order: "asc" });
  expect(order(query("sort=size&order=asc"))).toEqual({ sort: "size", order: "asc" });
  expect(order(query("sort=colour&order=up"))).toEqual({ sort: "ended", order: "desc" });
});

it("turns a column round at the second click, and back at the third", () => {
  expect(sorted(query(""), "size")).toEqual({ sort: "size", order: null });
  expect(sorted(query("sort=size"), "size")).toEqual({ sort: "size", order: "asc" });
  expect(sorted(query("sort=size&order=asc"), "size")).toEqual({ sort: "size", order: null });
  expect(sorted(query("sort=size&order=asc"), "name")).toEqual({ sort: "name", order: null });
  expect(sorted(query("sort=size"), "ended")).toEqual({ sort: null, order: null });
});

it("counts the last day to its end", () => {
  const { ended_from, ended_to } = asked(query("from=2026-01-15&to=2026-01-15"), "utc");
  expect([ended_from, ended_to]).toEqual(["2026-01-15T00:00:00.000Z", "2026-01-16T00:00:00.000Z"]);
});

it("exports what is shown", () => {
  const wanted = asked(query("status=failed&q=a b&user=jane&from=2026-01-15&sort=size&page=7"), "utc");
  expect(exportAddress(wanted)).toBe("/api/jobs?format=csv&status=failed&q=a+b&user=jane&ended_from=2026-01-15T00%3A00%3A00.000Z&sort=size&order=desc");
  expect(exportAddress(asked(query(""), "utc"))).toBe("/api/jobs?format=csv&status=completed%2Cfailed%2Ccancelled&sort=ended&order=desc");
});

it("knows a filter from an order", () => {
  expect([isFiltered(query("sort=size&page=2")), isFiltered(query("user=jane"))]).toEqual([false, true]);
});
