import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask } from "../../api/client";
import type { QueueMove } from "../../api/generated";
import { keys } from "../../api/queries";
import { toast } from "../../components/toasts";

export type Goal = QueueMove["to"];

/** Change the order of what waits. The answer is the queue as it is now; others see it live. */
export function useMove() {
  const client = useQueryClient();
  const move = useMutation({
    mutationFn: (wanted: QueueMove) => ask(api.POST("/api/queue/move", { body: wanted })),
    onSuccess: (queue) => client.setQueryData(keys.queue, queue),
    onError: (error) => {
      toast(error.message, "error");
      void client.invalidateQueries({ queryKey: keys.queue });
    },
  });
  return (ids: string[], to: Goal) => move.mutate({ job_ids: ids, to });
}
