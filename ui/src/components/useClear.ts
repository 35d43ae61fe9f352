import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask } from "../api/client";
import { fromThrown } from "../api/errors";
import { keys } from "../api/queries";
import { text } from "../text/en";
import { clearText } from "../text/enClear";
import { toast } from "./toasts";

/** Where a job that was cleared is missing. */
const SHOWN_IN = [keys.jobs, keys.failures, keys.packs, keys.system];

/** Show jobs again that these clearings have hidden. It tells its own failure: the place that offered it may be gone. */
export function useRestore() {
  const client = useQueryClient();
  return async (moments: string[]) => {
    try {
      const answers = await Promise.all(moments.map((cleared_at) => ask(api.POST("/api/jobs/completed/restore", { body: { cleared_at } }))));
      toast(text.history.restored(answers.reduce((sum, answer) => sum + answer.restored_count, 0)));
    } catch (thrown) {
      toast(fromThrown(thrown).message, "error");
    }
    for (const queryKey of [...SHOWN_IN, keys.anyJob]) void client.invalidateQueries({ queryKey });
  };
}

/** Hide jobs that have ended, and their alerts; it can be taken back from the message. */
export function useClear() {
  const client = useQueryClient();
  const restore = useRestore();
  const clear = useMutation({
    mutationFn: async (jobIds: string[]) => {
      const outcomes = await Promise.allSettled(jobIds.map((id) => ask(api.POST("/api/jobs/{job_id}/clear", { params: { path: { job_id: id } } }))));
      const moments = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value.cleared_at] : []));
      const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [fromThrown(outcome.reason)] : []));
      return { moments, failures };
    },
    onSuccess: ({ moments, failures }) => {
      if (moments.length > 0) toast(clearText.done(moments.length), "success", () => void restore(moments));
      if (failures[0]) toast(failures[0].message, "error");
    },
    onSettled: (_data, _error, jobIds) => {
      for (const queryKey of [...jobIds.map(keys.job), ...SHOWN_IN]) void client.invalidateQueries({ queryKey });
    },
  });
  return { busy: clear.isPending, clear: (jobIds: string[]) => clear.mutate(jobIds) };
}
