import { expect, it } from "vitest";

import values from "../util/units.json";
import { plural } from "./plural";

it.each(values.counted as [number, string][])("%d counted are %s, as on the command line", (count, expected) => {
  expect(plural(count, "entry", "entries")).toBe(expected);
});
