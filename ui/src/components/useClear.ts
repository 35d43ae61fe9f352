import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask } from "../api/client";
import { fromThrown } from "../api/errors";
import { keys } from "../api/queries";
import { text } from "../text/en";
import { clearText } from "../text/enClear";
import { toast } from "./toasts";

/** Show jobs again that one clearing has hidden. It tells its own failure: the place that offered it may be gone. */
export function useRestore() {
  const client = useQueryClient();
  return async (cleared_at: string) => {
    try {
      const { restored_count } = await ask(api.POST("/api/jobs/completed/restore", { body: { cleared_at } }));
      toast(text.history.restored(restored_count));
    } catch (thrown) {
      toast(fromThrown(thrown).message, "error");
    }
    for (const queryKey of [keys.jobs, keys.system, keys.anyJob]) void client.invalidateQueries({ queryKey });
  };
}

/** Hide one job that has ended, and its alert; it can be taken back from the message. */
export function useClear() {
  const client = useQueryClient();
  const restore = useRestore();
  const clear = useMutation({
    mutationFn: (jobId: string) => ask(api.POST("/api/jobs/{job_id}/clear", { params: { path: { job_id: jobId } } })),
    onSuccess: ({ cleared_at }) => toast(clearText.done, "success", () => void restore(cleared_at)),
    onError: (error) => toast(error.message, "error"),
    onSettled: (_data, _error, jobId) => {
      for (const queryKey of [keys.job(jobId), keys.jobs, keys.system]) void client.invalidateQueries({ queryKey });
    },
  });
  return { busy: clear.isPending, clear: (jobId: string) => clear.mutate(jobId) };
}
