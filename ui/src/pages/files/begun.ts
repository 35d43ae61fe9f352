import type { QueryClient } from "@tanstack/react-query";

import { keys } from "../../api/queries";

/** A task was asked for: it is in the lists, and it holds space. */
export function noteBegun(client: QueryClient) {
  for (const queryKey of [keys.packs, keys.jobs, keys.space]) void client.invalidateQueries({ queryKey });
}
