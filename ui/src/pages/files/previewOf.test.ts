import { expect, it } from "vitest";

import { decoded, drawingSource, kindOf } from "./previewOf";

const file = (name: string, size = 10) => ({ name, type: "file" as const, size });
const utf8 = (text: string) => new TextEncoder().encode(text);

it("knows pictures, drawings, films, sound and PDFs by their ending, and tries the rest as text", () => {
  const names = ["a.JPG", "a.webp", "a.svg", "a.mov", "a.flac", "a.pdf", "notes.md", "README", "a.html", "a.psd"];
  expect(names.map((name) => kindOf(file(name)))).toEqual(["picture", "picture", "drawing", "media", "media", "pdf", "text", "text", "text", "text"]);
  expect(kindOf(file("a.png", 65 << 20))).toBe("large");
  expect(kindOf(file("a.svg", 2 << 20))).toBe("text");
  expect(kindOf(file("a.mov", 2 ** 40))).toBe("media");
});

it("reads UTF-8, also cut within a letter, UTF-16 with its mark, and older text", () => {
  expect(decoded(utf8("Größe"), false)).toBe("Größe");
  expect(decoded(utf8("Größe").slice(0, 3), true)).toBe("Gr");
  expect(decoded(new Uint8Array([0xff, 0xfe, 0x41, 0, 0xe4, 0]), false)).toBe("Aä");
  expect(decoded(new Uint8Array([0xfe, 0xff, 0, 0x41]), false)).toBe("A");
  expect(decoded(new Uint8Array([0x47, 0x72, 0xf6, 0xdf, 0x65]), false)).toBe("Größe");
});

it("takes bytes for no text", () => {
  expect(decoded(new Uint8Array([0x7f, 0x45, 0, 1]), false)).toBeNull();
  expect(decoded(new Uint8Array([0xff, 0xd8, 0xff, 1, 2, 3, 4, 5]), false)).toBeNull();
});

it("puts a drawing into the address of an image, with nothing that ends the address", () => {
  expect(drawingSource(`<svg a="#">'</svg>`)).toBe("data:image/svg+xml;charset=utf-8,%3Csvg%20a%3D%22%23%22%3E'%3C%2Fsvg%3E");
});
