import { expect, it } from "vitest";

import type { Folder } from "../../api/types";
import { folder } from "../../test/samples";
import { current } from "./selection";

const of = (path: string, more: Partial<Folder> = {}): [string, Folder] => [path, folder({ path, ...more })];

it("keeps what is on other pages, takes new figures, and lets go of what cannot be archived any more", () => {
  const selection = new Map([of("a"), of("b", { size_bytes: 1 }), of("c")]);
  const [, grown] = of("b", { size_bytes: 9 });
  const [, queued] = of("c", { job_id: "job", job_status: "queued" });
  expect([...current(selection, [grown, queued]).values()].map(({ path, size_bytes }) => [path, size_bytes])).toEqual([
    ["a", selection.get("a")?.size_bytes],
    ["b", 9],
  ]);
});
