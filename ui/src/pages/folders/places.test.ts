import { expect, it } from "vitest";

import { categories, subcategories } from "./places";

const places = [
  { level1: "Marketing", level2: "Events", folder_count: 2 },
  { level1: "Production", level2: "2023", folder_count: 1200 },
  { level1: "Production", level2: "2024", folder_count: 3 },
];

it("offers each category once, with what is below it", () => {
  expect(categories(places, undefined)).toEqual([
    ["", "All categories"],
    ["Marketing", "Marketing (2)"],
    ["Production", "Production (1,203)"],
  ]);
});

it("offers only the subcategories of the chosen category", () => {
  expect(subcategories(places, "Production", undefined).map(([value]) => value)).toEqual(["", "2023", "2024"]);
});

it("shows what the address asks for, even if nothing is there now", () => {
  expect(categories(places, "Gone").at(-1)).toEqual(["Gone", "Gone (0)"]);
  expect(subcategories(places, "Gone", "2001").at(-1)).toEqual(["2001", "2001 (0)"]);
});
