import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask } from "../api/client";
import { fromThrown } from "../api/errors";
import { keys } from "../api/queries";
import { text } from "../text/en";
import { toast } from "./toasts";

type Action = "pause" | "resume";

const OPPOSITE: Record<Action, Action> = { pause: "resume", resume: "pause" };

/** Pause or resume jobs; what was done can be taken back from the message. Asking for what is so already changes nothing. */
export function useControl() {
  const client = useQueryClient();
  const control = useMutation({
    mutationFn: async ({ action, ids }: { action: Action; ids: string[] }) => {
      const outcomes = await Promise.allSettled(
        ids.map((id) => ask(api.POST("/api/tasks/{task_id}/control", { params: { path: { task_id: id } }, body: { action } }))),
      );
      const done = ids.filter((_, index) => outcomes[index]?.status === "fulfilled");
      const failures = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome) => fromThrown(outcome.reason));
      return { done, failures };
    },
    onSuccess: ({ done, failures }, { action }) => {
      const words = action === "pause" ? text.job.paused : text.job.resumed;
      if (done.length > 0) toast(words(done.length), "info", () => control.mutate({ action: OPPOSITE[action], ids: done }));
      if (failures[0]) toast(failures.length === 1 ? failures[0].message : text.queue.controlFailed(failures.length, failures[0].message), "error");
    },
    onSettled: (_data, _error, { ids }) => {
      for (const id of ids) void client.invalidateQueries({ queryKey: keys.job(id) });
      for (const queryKey of [keys.queue, keys.jobs, keys.packs]) void client.invalidateQueries({ queryKey });
    },
  });
  return {
    busy: control.isPending,
    pause: (ids: string[]) => control.mutate({ action: "pause", ids }),
    resume: (ids: string[]) => control.mutate({ action: "resume", ids }),
  };
}
