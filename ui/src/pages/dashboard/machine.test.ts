import { expect, it } from "vitest";

import { curve, summary } from "./Machine";

const sample = (second: number, upload_speed: number) => ({ at: new Date(second * 1000).toISOString(), upload_speed, cpu_usage: 1, memory_usage: 2 });
const history = { interval_seconds: 10, span_seconds: 1800, samples: [sample(10, 0), sample(20, 2048)] };
const speed = { value: (figures: { upload_speed: number }) => figures.upload_speed };
const now = { upload_speed: 1024, cpu_usage: 3, memory_usage: 4 };

it("goes on from what the gateway has seen to what is seen now", () => {
  expect(curve(speed, history, now, 25_000).map((point) => [point.at, point.value])).toEqual([
    [10_000, 0],
    [20_000, 2048],
    [25_000, 1024],
  ]);
  expect(curve(speed, history, now, 15_000)).toHaveLength(2); // the clock of this machine is behind
  expect(curve(speed, undefined, now, 25_000)).toEqual([]);
});

it("is told in words too", () => {
  const gauge = { name: "Transfer speed", say: String };

  expect(summary(gauge, curve(speed, history, now, 25_000), 1800)).toBe("Transfer speed over the last 30m: between 0 and 2048");
  expect(summary(gauge, [], 1800)).toBe("Transfer speed");
});
