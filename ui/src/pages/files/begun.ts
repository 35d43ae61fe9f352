import type { QueryClient } from "@tanstack/react-query";

import { keys } from "../../api/queries";

/** Tasks that were asked for here and are not in the list yet: a quick one has ended before it is first seen there. */
export const asked = new Set<string>();

/** A task was asked for or called off: it is in the lists, and it holds space. `id`: of the one that was begun, if one was. */
export function noteBegun(client: QueryClient, id?: string) {
  if (id) asked.add(id);
  for (const queryKey of [keys.packs, keys.jobs, keys.space]) void client.invalidateQueries({ queryKey });
}
