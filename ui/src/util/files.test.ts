import { expect, it } from "vitest";

import { archiveStem, crumbs, isArchive, isMedia, join, lookOf, nameFault, nameOf, parentOf, stem } from "./files";

const file = (name: string) => ({ name, type: "file" as const });
const folder = (name: string) => ({ name, type: "folder" as const });

it("takes paths apart and puts them together", () => {
  expect([join("", "a"), join("a/b", "c"), parentOf("a/b/c"), parentOf("a"), nameOf("a/b"), nameOf("a")]).toEqual(["a", "a/b/c", "a/b", "", "b", "a"]);
  expect(crumbs("a/b b")).toEqual([
    { name: "a", path: "a" },
    { name: "b b", path: "a/b b" },
  ]);
  expect(crumbs("")).toEqual([]);
});

it("knows archives and media by their endings, and only files", () => {
  expect(["a.zip", "a.tar.gz", "a.TGZ", "a.7z.001", "a.rar", "a.zst"].every((name) => isArchive(file(name)))).toBe(true);
  expect(["zip", "a.zip.txt", "a.doc"].some((name) => isArchive(file(name)))).toBe(false);
  expect(isArchive(folder("a.zip"))).toBe(false);
  expect([isMedia(file("a.MOV")), isMedia(file("a.flac")), isMedia(file("a.txt")), isMedia(folder("a.mov"))]).toEqual([true, true, false, false]);
  expect([lookOf(folder("x")), lookOf(file("a.jpg")), lookOf(file("a")), lookOf({ name: "l", type: "link" })]).toEqual(["folder", "picture", "file", "link"]);
});

it.each([
  ["film.tar.gz", "film"],
  ["film.7z.001", "film"],
  ["film.v2.zip", "film.v2"],
  ["film", "film"],
  [".zip", ".zip"],
])("the contents of %s are called %s", (name, expected) => {
  expect(stem(name)).toBe(expected);
});

it.each([
  ["a b.txt", null],
  ["", "empty"],
  ["  ", "empty"],
  ["a/b", "slash"],
  ["..", "dots"],
  ["ü".repeat(128), "long"],
  ["ü".repeat(127), null],
])("a file called %j: %s", (name, fault) => {
  expect(nameFault(name)).toBe(fault);
});

it("calls an archive after the one thing in it, or after the folder", () => {
  expect(archiveStem([file("a.b.mov")], "x", "top")).toBe("a.b");
  expect(archiveStem([folder("v1.2")], "x", "top")).toBe("v1.2");
  expect(archiveStem([file(".profile")], "x", "top")).toBe(".profile");
  expect(archiveStem([file("a"), file("b")], "x/shots", "top")).toBe("shots");
  expect(archiveStem([file("a"), file("b")], "", "top")).toBe("top");
});
