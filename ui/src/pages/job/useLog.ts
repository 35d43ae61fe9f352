import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { keys, readLogs } from "../../api/queries";
import { onLog, usePolling } from "../../api/sync";
import type { JobLogLine } from "../../api/types";

export const FIRST_LINES = 1000;
/** The most that one request answers with, and that this page keeps. */
export const MOST_LINES = 10_000;
const GATHER_MS = 200;

interface Log {
  lines: JobLogLine[];
  total: number;
}

/** Old and new lines in order, without doubles; the oldest go when there are too many. Exported for its test. */
export function append(log: Log, more: JobLogLine[]): Log {
  const last = log.lines.at(-1)?.id ?? 0;
  const fresh = more.filter((line) => line.id > last);
  if (fresh.length === 0) return log;
  return { lines: [...log.lines, ...fresh].slice(-MOST_LINES), total: log.total + fresh.length };
}

/**
 * The job's log. A live message only says that there is more; the lines themselves are read from where we are, so none is missed,
 * doubled or out of order, whatever happens to the connection.
 */
export function useLog(jobId: string) {
  const client = useQueryClient();
  const [limit, setLimit] = useState(FIRST_LINES);
  const polling = usePolling();
  const log = useQuery<Log>({ queryKey: [...keys.logs(jobId), limit], queryFn: () => readLogs(jobId, null, limit), refetchInterval: polling });

  useEffect(() => {
    let timer: number | undefined;
    let reading = false;
    let again = false;
    let gone = false;
    const key = [...keys.logs(jobId), limit];
    const read = async () => {
      const known = client.getQueryData<Log>(key);
      if (!known) return;
      reading = true;
      again = false;
      try {
        const more = await readLogs(jobId, known.lines.at(-1)?.id ?? 0, MOST_LINES);
        if (!gone) client.setQueryData<Log>(key, (now) => now && append(now, more.lines));
      } catch {
        // The next message, or the reconnection, tries again.
      } finally {
        reading = false;
        if (again && !gone) later();
      }
    };
    const later = () => {
      again = true;
      if (reading) return;
      window.clearTimeout(timer);
      timer = window.setTimeout(() => void read(), GATHER_MS);
    };
    const stop = onLog(jobId, later);
    return () => {
      gone = true;
      window.clearTimeout(timer);
      stop();
    };
  }, [client, jobId, limit]);

  return { log, older: limit < MOST_LINES ? () => setLimit(MOST_LINES) : null };
}
