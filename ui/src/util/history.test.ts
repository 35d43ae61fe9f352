import { afterEach, expect, it, vi } from "vitest";

import { guardPage, history } from "./history";

let stop: (() => void) | undefined;
let release: (() => void) | undefined;

afterEach(() => {
  release?.();
  stop?.();
});

function visited(): string[] {
  const seen: string[] = [];
  stop = history.listen(({ location }) => void seen.push(location.pathname));
  return seen;
}

it("holds a link that leaves the page, and follows it when told to", () => {
  history.replace("/admin/config");
  const seen = visited();
  const held = vi.fn<(leave: () => void) => void>();
  release = guardPage(held);

  history.push("/admin/config?part=2");
  history.push("/queue");
  expect(seen).toEqual(["/admin/config"]);

  held.mock.calls[0]?.[0]();
  expect(seen).toEqual(["/admin/config", "/queue"]);
});

it("undoes a step back that leaves the page, and takes it when told to", async () => {
  history.push("/history");
  history.push("/admin/config");
  const seen = visited();
  const held = vi.fn<(leave: () => void) => void>();
  release = guardPage(held);

  history.go(-1);
  await vi.waitFor(() => expect(window.location.pathname + held.mock.calls.length).toBe("/admin/config1"));
  expect(seen).toEqual([]);

  held.mock.calls[0]?.[0]();
  await vi.waitFor(() => expect(seen).toEqual(["/history"]));
  expect(held).toHaveBeenCalledTimes(1);
});

it("lets the app's own redirects through", () => {
  history.replace("/admin/config");
  release = guardPage(() => expect.unreachable());

  history.replace("/login");
  expect(window.location.pathname).toBe("/login");
});
