/** What a preview reads of a file. Fetched with it. */
import { queryOptions } from "@tanstack/react-query";

import { downloads } from "../util/paths";
import { fromResponse, fromThrown } from "./errors";
import { keys } from "./queries";

export interface Beginning {
  bytes: Uint8Array;
  /** Of the whole file. */
  total: number;
}

/** The first bytes of a file. Throws ApiError. */
async function read(address: string, most: number): Promise<Beginning> {
  let response: Response;
  try {
    response = await fetch(address, { headers: { Range: `bytes=0-${Math.max(1, most) - 1}` } });
    if (response.ok) {
      const bytes = new Uint8Array(await response.arrayBuffer());
      return { bytes, total: Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1] ?? bytes.length) };
    }
  } catch (thrown) {
    throw fromThrown(thrown);
  }
  throw fromResponse(response, await response.json().catch(() => null));
}

export const previewQueries = {
  begin: (path: string, most: number) => queryOptions({ queryKey: [...keys.files, "begin", path, most], queryFn: () => read(downloads.file(path), most), gcTime: 0, retry: false }),
  /** Whether a frame would get the file: it could not say why not. */
  there: (address: string) => queryOptions({ queryKey: [...keys.files, "there", address], queryFn: () => read(address, 1), gcTime: 0, retry: false }),
};
