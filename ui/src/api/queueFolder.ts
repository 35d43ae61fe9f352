/** Ask for a folder to be archived. What stands in the way only for a moment is waited for. */
import { api, ask } from "./client";
import { fromThrown, isSoon } from "./errors";
import type { JobCreated } from "./generated";

const PATIENCE_MS = 120_000;

interface Options {
  keepSource: boolean;
  /** Called each time that the answer was "not yet". */
  onWait?: () => void;
  /** Ends the waiting; the promise is then refused with what stood in the way. */
  signal?: AbortSignal;
}

/** Right after a cancel the destination is still being cleaned up: 409 with a Retry-After. Throws ApiError. */
export async function queueFolder(path: string, { keepSource, onWait, signal }: Options): Promise<JobCreated> {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after the other is the point
      return await ask(api.POST("/api/jobs", { body: { folder_path: path, keep_source: keepSource } }));
    } catch (thrown) {
      const error = fromThrown(thrown);
      if (!isSoon(error) || Date.now() > until || signal?.aborted) throw error;
      onWait?.();
      // oxlint-disable-next-line no-await-in-loop -- as above
      await pause((error.retryAfter ?? 1) * 1000, signal);
      if (signal?.aborted) throw error;
    }
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = window.setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      window.clearTimeout(timer);
      resolve();
    });
  });
}
