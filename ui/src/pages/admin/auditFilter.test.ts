import { expect, it } from "vitest";

import { asked, exportAddress, isFiltered } from "./auditFilter";

it("makes a question of the address, with whole days", () => {
  const query = new URLSearchParams("q=films&action=login&from=2026-03-01&to=2026-03-31&cursor=abc");

  const wanted = asked(query, "utc");

  expect(wanted).toEqual({
    q: "films",
    actor: undefined,
    action: ["login"],
    from: "2026-03-01T00:00:00.000Z",
    to: "2026-04-01T00:00:00.000Z",
    cursor: "abc",
  });
  // The file has everything that matches, wherever the page stands.
  expect(exportAddress(wanted, "csv")).toBe("/api/audit?format=csv&q=films&from=2026-03-01T00%3A00%3A00.000Z&to=2026-04-01T00%3A00%3A00.000Z&action=login");
});

it("takes nonsense in the address for nothing", () => {
  expect(asked(new URLSearchParams("from=yesterday"), "local").from).toBeUndefined();
  expect([isFiltered(new URLSearchParams("cursor=abc")), isFiltered(new URLSearchParams("actor=jane"))]).toEqual([false, true]);
});
