import { expect, it } from "vitest";

import type { FolderPreview } from "../../api/types";
import { doubtful, figures, filmList, kinds, largest, tree, types } from "./look";

const MB = 1024 ** 2;

function seen(more: Partial<FolderPreview> = {}): FolderPreview {
  return {
    path: "/nas/Production/2024/Shoot",
    complete: true,
    stage: "complete",
    seconds: 1,
    estimate: { archive_bytes: 2 * MB, seconds: 90, bytes_per_second: 1, basis_jobs: 1, needed_bytes: 1, available_bytes: 2, free_bytes: 2, fits: true },
    types: [
      { type: "mov", file_count: 3, size_bytes: 3 * MB },
      { type: "", file_count: 1, size_bytes: MB },
      { type: "...", file_count: 9, size_bytes: 9 * MB },
    ],
    media: { file_count: 3, measured_count: 3, duration_seconds: 120, size_bytes: 3 * MB, unreadable_count: 0 },
    ...more,
  };
}

it("names the kinds with the most bytes over all folders, without the collected rest", () => {
  expect(kinds([seen(), seen({ types: [{ type: "wav", file_count: 1, size_bytes: 4 * MB }] })])).toBe("wav 4.00 MB, mov 3.00 MB, no extension 1.00 MB");
});

it("adds up media; says how much of the media was measured; is silent about what is not there", () => {
  expect(figures([seen(), seen()])).toEqual([
    ["File types", "mov 6.00 MB, no extension 2.00 MB"],
    ["Film and sound", "4m in 6 files"],
  ]);
  expect(figures([seen({ media: { file_count: 40, measured_count: 12, duration_seconds: 60 } })])[1]).toEqual(["Film and sound", "1m in the largest 12 of 40 files"]);
  expect(figures([seen({ media: { file_count: 2, measured_count: 2, unreadable_count: 2 } })])[1]).toEqual(["Film and sound", "2 files of unknown length"]);
  expect(figures([]).map(([, value]) => value)).toEqual(["", ""]);
});

it("lists one folder by endings, by its largest files, and as a tree in which each folder is followed by its own", () => {
  const one = seen({
    largest: [{ path: "b/x.mov", size_bytes: MB }],
    tree: [
      { path: "b", depth: 1, file_count: 2, size_bytes: 2 * MB },
      { path: "a", depth: 1, file_count: 1, size_bytes: MB },
      { path: "a/deep", depth: 2, file_count: 1, size_bytes: MB },
    ],
  });

  expect(types(one).map(({ name, value }) => [name, value])).toEqual([
    ["mov", "3 files, 3.00 MB"],
    ["no extension", "1 file, 1.00 MB"],
    ["other types", "9 files, 9.00 MB"],
  ]);
  expect(largest(one)).toEqual([{ key: "b/x.mov", name: "b/x.mov", value: "1.00 MB" }]);
  expect(tree(one).map(({ name, depth }) => [name, depth])).toEqual([["b/", 1], ["a/", 1], ["deep/", 2]]);
});

it("shows the quality of the films, and names those that should be checked", () => {
  const odd = Array.from({ length: 7 }, (_, n) => ({ path: `${n}.mov`, size_bytes: 1, quality: "Low (576p)", resolution: "720x576 @ 25 FPS", warnings: ["The bit rate is low.", "It is damaged."] }));
  const one = seen({ films: [...odd, { path: "good.mov", size_bytes: 1, quality: "High (1080p)", warnings: [] }, { path: "sound.wav", size_bytes: 1, quality: null, warnings: [] }] });

  expect(figures([one])).toContainEqual(["Quality", "7 × Low (576p), 1 × High (1080p)"]);
  expect(doubtful(one)).toEqual([...[0, 1, 2, 3, 4].map((n) => `${n}.mov: The bit rate is low. It is damaged.`), "2 more media files with warnings."]);
  expect(doubtful(seen({ films: [{ path: "", size_bytes: 1, quality: null, warnings: ["It is damaged."] }] }))).toEqual(["A media file: It is damaged."]);
  expect(filmList(one).at(-1)).toEqual({ key: "good.mov", name: "good.mov", value: "High (1080p)" });
});
