/** What ended while nobody listened, told by the events that were missed. */
import { api, ask } from "./client";
import type { LiveMessage } from "./types";

export interface Missed {
  ended: number;
  completed: number;
  failed: number;
  cancelled: number;
}

/** Each job counts once, by the last state it entered. Pure. */
export function summarize(events: LiveMessage[]): Missed {
  const last = new Map<string, string>();
  for (const event of events) if (event.type === "job_event") last.set(event.job_id, event.status);
  const states = [...last.values()];
  const among = (status: string) => states.filter((state) => state === status).length;
  const [completed, failed, cancelled] = [among("completed"), among("failed"), among("cancelled")];
  return { ended: completed + failed + cancelled, completed, failed, cancelled };
}

/** Everything after event number `after`, page by page. Throws ApiError; 410: too much has happened. */
export async function readMissed(after: number, before: LiveMessage[] = []): Promise<Missed> {
  const page = await ask(api.GET("/api/events", { params: { query: { after } } }));
  const events = [...before, ...page.events];
  return page.more ? readMissed(page.last, events) : summarize(events);
}
