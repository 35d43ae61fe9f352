import { describe, expect, it, vi } from "vitest";

import { ApiError } from "./errors";
import { type Arrived, OutOfStep, PART_BYTES, partAfter, rangeOf, type Request, tagOf, Uploads } from "./uploads";

const SIZE = PART_BYTES + 10;

function file(name = "film.mov", size = SIZE): File {
  const made = new File(["x"], name, { lastModified: 7 });
  Object.defineProperty(made, "size", { value: size });
  return made;
}

/** A gateway that keeps count, and fails when told to. */
function gateway(received = 0) {
  const failures: (ApiError | null)[] = [];
  const ranges: string[] = [];
  const state = { received };
  const send = async (request: Request): Promise<Arrived> => {
    ranges.push(request.range);
    const failure = failures.shift();
    if (failure) throw failure;
    const part = /bytes (\d+)-(\d+)\/(\d+)/.exec(request.range);
    const total = Number(request.range.split("/")[1]);
    if (part) state.received = Number(part[2]) + 1;
    return { received: state.received, isWhole: state.received >= total, uploadId: "id" };
  };
  const hooks = { makeFolder: vi.fn(async () => {}), arrived: vi.fn(), giveUp: vi.fn(async () => {}), whole: vi.fn(async () => {}), wait: vi.fn(async () => {}) };
  return { uploads: new Uploads(send, hooks), hooks, failures, ranges };
}

const settled = (uploads: Uploads) => vi.waitFor(() => expect(uploads.all().every(({ state }) => state !== "waiting" && state !== "sending")).toBe(true), { timeout: 30_000 });

it("cuts a file into parts and says which", () => {
  expect([partAfter(0, SIZE), partAfter(PART_BYTES, SIZE), partAfter(SIZE, SIZE), partAfter(0, 0)]).toEqual([[0, PART_BYTES], [PART_BYTES, SIZE], null, null]);
  expect([rangeOf([0, 1000], 5000), rangeOf(null, 5000)]).toEqual(["bytes 0-999/5000", "bytes */5000"]);
  expect(tagOf(file())).toBe(`${SIZE}-7`);
});

describe("an upload", () => {
  it("is whole when its last file has arrived or was left out, and not before", async () => {
    const { uploads, failures, hooks } = gateway(SIZE);
    failures.push(null, new ApiError("no", 403, "forbidden"));
    uploads.add([{ file: file(), path: "a" }, { file: file(), path: "b" }], "");
    await settled(uploads);
    expect(uploads.all().map(({ state }) => state)).toEqual(["done", "failed"]);
    expect(hooks.whole).not.toHaveBeenCalled();

    uploads.remove(2);
    expect(hooks.whole).toHaveBeenCalledOnce();
    uploads.clearDone();
    expect(hooks.whole).toHaveBeenCalledOnce();
  });

  it("asks first, then sends part after part", async () => {
    const { uploads, ranges, hooks } = gateway();
    uploads.add([{ file: file(), path: "in/film.mov" }], "in");
    await settled(uploads);

    expect(uploads.all()).toMatchObject([{ state: "done", sent: SIZE }]);
    expect(ranges).toEqual([`bytes */${SIZE}`, `bytes 0-${PART_BYTES - 1}/${SIZE}`, `bytes ${PART_BYTES}-${SIZE - 1}/${SIZE}`]);
    expect(hooks.makeFolder).not.toHaveBeenCalled();
    expect(hooks.arrived).toHaveBeenCalledOnce();
  });

  it("goes on where it broke off, also of another visit", async () => {
    const { uploads, ranges } = gateway(PART_BYTES);
    uploads.add([{ file: file(), path: "film.mov" }], "");
    await settled(uploads);

    expect(ranges).toEqual([`bytes */${SIZE}`, `bytes ${PART_BYTES}-${SIZE - 1}/${SIZE}`]);
  });

  it("asks again after a broken connection, and follows the gateway when the two disagree", async () => {
    const { uploads, ranges, failures, hooks } = gateway();
    const away = new ApiError("away", 0, "unreachable");
    failures.push(null, away, null, new OutOfStep(new ApiError("not there", 409, "conflict"), PART_BYTES));
    uploads.add([{ file: file(), path: "film.mov" }], "");
    await settled(uploads);

    const [ask, first, second] = [`bytes */${SIZE}`, `bytes 0-${PART_BYTES - 1}/${SIZE}`, `bytes ${PART_BYTES}-${SIZE - 1}/${SIZE}`];
    expect(ranges).toEqual([ask, first, ask, first, second]);
    expect(hooks.wait).toHaveBeenCalledOnce();
    expect(uploads.all()).toMatchObject([{ state: "done" }]);
  });

  it("waits as long as it takes for what passes, says so meanwhile, and can be taken off the list", async () => {
    const { uploads, failures, hooks } = gateway();
    const said: (string | null)[] = [];
    hooks.wait.mockImplementation(async () => {
      said.push(uploads.all()[0]?.error ?? null);
    });
    failures.push(...Array.from({ length: 20 }, () => new ApiError("away", 0, "unreachable")));
    uploads.add([{ file: file("a", 5), path: "a" }], "");
    await settled(uploads);

    expect(said).toEqual(Array.from({ length: 20 }, () => "away"));
    expect(uploads.all()).toMatchObject([{ state: "done", error: null }]);
  });

  it("stops with the gateway's words; a name that is taken can be replaced", async () => {
    const { uploads, failures } = gateway();
    failures.push(new ApiError("There is something named film.mov already.", 409, "conflict"));
    uploads.add([{ file: file(), path: "film.mov" }], "");
    await settled(uploads);
    expect(uploads.all()).toMatchObject([{ state: "taken", error: "There is something named film.mov already." }]);

    uploads.again(1, true);
    await settled(uploads);
    expect(uploads.all()).toMatchObject([{ state: "done" }]);
  });

  it("leaves the others alone when one fails for good", async () => {
    const { uploads, failures } = gateway();
    failures.push(new ApiError("Not enough space.", 403, "no-space"));
    uploads.add([{ file: file("a"), path: "a" }, { file: file("b", 5), path: "b" }], "");
    await settled(uploads);

    expect(uploads.all().map(({ state }) => state)).toEqual(["failed", "done"]);
  });

  it("makes the folders of a dropped folder, each once", async () => {
    const { uploads, hooks } = gateway();
    uploads.add(["a/1", "a/2", "a/b/3"].map((path) => ({ file: file(path, 0), path: `in/${path}` })), "in");
    await settled(uploads);

    expect(hooks.makeFolder.mock.calls).toEqual([["in/a"], ["in/a/b"]]);
  });

  it("that is taken off the list is thrown away at the gateway", async () => {
    const { uploads, failures, hooks } = gateway();
    failures.push(null, new ApiError("no", 403, "no-space"));
    uploads.add([{ file: file(), path: "film.mov" }], "");
    await settled(uploads);
    uploads.remove(1);

    expect(uploads.all()).toEqual([]);
    expect(hooks.giveUp).toHaveBeenCalledWith("id");
  });
});
