import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Silence } from "./silence";

const answers = vi.fn<() => Promise<Response>>();

beforeEach(() => {
  vi.useFakeTimers();
  answers.mockReset().mockRejectedValue(new TypeError("Failed to fetch"));
});

afterEach(() => {
  vi.useRealTimers();
});

function watched(): Silence {
  const silence = new Silence(() => answers());
  silence.use("login");
  return silence;
}

/** Seconds of heartbeats, one every 2 s. */
async function beating(silence: Silence, seconds: number) {
  for (let at = 0; at < seconds; at += 2) {
    silence.heard();
    // oxlint-disable-next-line no-await-in-loop -- one beat after the other
    await vi.advanceTimersByTimeAsync(2000);
  }
}

it("asks nothing while heartbeats come, and is silent within 5 s of the last thing heard", async () => {
  const silence = watched();
  await beating(silence, 60);
  expect(answers).not.toHaveBeenCalled();
  silence.heard();

  await vi.advanceTimersByTimeAsync(3500);
  expect(silence.isSilent()).toBe(false);
  await vi.advanceTimersByTimeAsync(1500);

  expect(silence.isSilent()).toBe(true);
  expect(answers).toHaveBeenCalled();
});

it("is not silent while requests are answered, though no socket comes through", async () => {
  answers.mockImplementation(async () => new Response("{}"));
  const silence = watched();

  await vi.advanceTimersByTimeAsync(60_000);

  expect(silence.isSilent()).toBe(false);
  expect(answers.mock.calls.length).toBeGreaterThan(10);
});

it("takes a proxy's word that nobody answers for silence, and the gateway's own 503 for an answer", async () => {
  answers.mockImplementation(async () => new Response("", { status: 502 }));
  const silence = watched();
  await vi.advanceTimersByTimeAsync(6000);
  expect(silence.isSilent()).toBe(true);

  answers.mockImplementation(async () => new Response("", { status: 503 }));
  await vi.advanceTimersByTimeAsync(1000);

  expect(silence.isSilent()).toBe(false);
});

it("tells listeners when it begins and ends, and ends at the first word", async () => {
  const silence = watched();
  const listener = vi.fn();
  silence.subscribe(listener);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(listener).toHaveBeenCalledTimes(1);

  silence.heard();

  expect(silence.isSilent()).toBe(false);
  expect(listener).toHaveBeenCalledTimes(2);
});

it("asks first when the computer slept", async () => {
  const silence = watched();
  answers.mockImplementation(async () => new Response("{}"));
  vi.setSystemTime(Date.now() + 3_600_000);

  await vi.advanceTimersByTimeAsync(3000);

  expect(silence.isSilent()).toBe(false);
});
