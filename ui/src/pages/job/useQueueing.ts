import { useEffect, useRef, useState } from "react";

import { fromThrown } from "../../api/errors";
import { queueFolder } from "../../api/queueFolder";
import { toast } from "../../components/toasts";

/** Archive a folder again. `waiting`: the clean-up of the cancelled job is not done; it is tried again by itself while the page is open. */
export function useQueueing({ onQueued, onSettled }: { onQueued: (jobId: string) => void; onSettled: () => void }) {
  const [state, setState] = useState<"idle" | "busy" | "waiting">("idle");
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);
  const start = async (path: string, keepSource: boolean) => {
    const here = new AbortController();
    running.current = here;
    setState("busy");
    try {
      const made = await queueFolder(path, { keepSource, onWait: () => setState("waiting"), signal: here.signal });
      if (!here.signal.aborted) onQueued(made.job_id);
    } catch (thrown) {
      if (!here.signal.aborted) toast(fromThrown(thrown).message, "error");
    } finally {
      setState("idle");
      onSettled();
    }
  };
  return { start: (path: string, keepSource: boolean) => void start(path, keepSource), busy: state !== "idle", waiting: state === "waiting" };
}
