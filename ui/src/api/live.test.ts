import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Live, SILENCE_MS, waitBefore } from "./live";
import { update } from "../test/samples";

/** The browser's socket, driven by hand: a real one needs a server, and tests/ui has that. */
class Socket extends EventTarget {
  static all: Socket[] = [];
  closed = false;

  constructor(readonly url: URL) {
    super();
    Socket.all.push(this);
  }

  close() {
    this.closed = true;
  }

  says(message: object) {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
  }

  ends(code: number) {
    this.dispatchEvent(Object.assign(new Event("close"), { code }));
  }

  static get last(): Socket {
    const last = Socket.all.at(-1);
    if (!last) throw new Error("no socket was opened");
    return last;
  }
}

const HEARTBEAT = { type: "queue_update", queue_length: 0 };
const handlers = { heard: vi.fn(), messages: vi.fn(), resumed: vi.fn(), refused: vi.fn() };

beforeEach(() => {
  vi.useFakeTimers();
  Socket.all = [];
  for (const handler of Object.values(handlers)) handler.mockClear();
  vi.stubGlobal("WebSocket", Socket);
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function started(): Live {
  const live = new Live(handlers);
  live.use("login");
  return live;
}

it("hands over what came in one frame at once", () => {
  const live = started();
  Socket.last.says(update({ progress_percent: 1 }));
  Socket.last.says(update({ progress_percent: 2 }));
  expect(handlers.messages).not.toHaveBeenCalled();

  vi.advanceTimersByTime(20);

  expect(handlers.messages.mock.calls.map(([messages]) => messages.length)).toEqual([2]);
  expect(live.connection().state).toBe("live");
});

it("comes back after a loss and tells that there was a gap", () => {
  const live = started();
  Socket.last.says(HEARTBEAT);
  Socket.last.ends(1006);
  expect(live.connection()).toMatchObject({ state: "reconnecting", failures: 1 });

  vi.advanceTimersByTime(500);
  expect(Socket.all).toHaveLength(2);
  Socket.last.says(HEARTBEAT);

  expect(live.connection()).toMatchObject({ state: "live", failures: 0 });
  expect(handlers.resumed).toHaveBeenCalledExactlyOnceWith(null);
});

it("tells from where the gap began: the highest number seen, whatever came late", () => {
  started();
  Socket.last.says({ type: "snapshot", seq: 40, job_ids: [] });
  Socket.last.says(update({ seq: 43 }));
  Socket.last.says({ type: "heartbeat", seq: 42, timestamp: "2026-01-01T00:00:00Z" });
  Socket.last.ends(1006);
  vi.advanceTimersByTime(500);

  Socket.last.says({ type: "snapshot", seq: 60, job_ids: [] });

  expect(handlers.resumed).toHaveBeenCalledExactlyOnceWith(43);
});

it("begins to count anew with a snapshot whose numbers are smaller", () => {
  started();
  Socket.last.says({ type: "snapshot", seq: 40, job_ids: [] });
  for (const seq of [3, 4]) {
    Socket.last.ends(1006);
    vi.advanceTimersByTime(30_000);
    Socket.last.says({ type: "snapshot", seq, job_ids: [] });
  }

  expect(handlers.resumed.mock.calls).toEqual([[40], [3]]);
});

it("looks at the clock when the computer wakes up", () => {
  started();
  Socket.last.says(HEARTBEAT);
  vi.setSystemTime(Date.now() + SILENCE_MS); // the timers slept

  document.dispatchEvent(new Event("visibilitychange"));

  expect(Socket.last.closed).toBe(true);
});

it("asks with the cookie: no secret in the address", () => {
  started();

  expect(Socket.last.url.pathname + Socket.last.url.search).toBe("/ws/jobs");
});

it("opens one connection, however often the same login is followed", () => {
  const live = started();
  live.use("login");
  live.use("login");

  expect(Socket.all).toHaveLength(1);
});

it("notices a connection that died without saying so", () => {
  started();
  Socket.last.says(HEARTBEAT);

  vi.advanceTimersByTime(SILENCE_MS);

  expect(Socket.last.closed).toBe(true);
  vi.advanceTimersByTime(500);
  expect(Socket.all).toHaveLength(2);
});

it.each([
  [4401, "login"],
  [4403, "password"],
])("does not knock again after %d", (code, reason) => {
  started();
  Socket.last.ends(code);

  vi.advanceTimersByTime(120_000);

  expect(Socket.all).toHaveLength(1);
  expect(handlers.refused).toHaveBeenCalledExactlyOnceWith(reason);
});

it("waits longer each time, up to 30 s, and never in step", () => {
  expect([1, 2, 3, 7, 20].map((failures) => waitBefore(failures, 1))).toEqual([500, 1000, 2000, 30_000, 30_000]);
  expect(waitBefore(1, 0)).toBe(250);
});

it("stops when the login ends", () => {
  const live = started();

  live.use(null);

  expect(Socket.last.closed).toBe(true);
  vi.advanceTimersByTime(120_000);
  expect(Socket.all).toHaveLength(1);
});
