import { useMutation, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";

import { api, ask } from "../api/client";
import { fromThrown } from "../api/errors";
import { keys } from "../api/queries";
import type { Kind } from "../api/types";
import { text } from "../text/en";
import { toast } from "./toasts";

const ConfirmDialog = lazy(() => import("./ConfirmDialog"));

interface Target {
  job_id: string;
  kind?: Kind;
  folder_name: string;
}

/** `ask(jobs)` opens the question; put `dialog` on the page. `onDone` after at least one cancel was accepted. */
export function useCancel(onDone?: () => void) {
  const client = useQueryClient();
  const [targets, setTargets] = useState<Target[]>([]);
  const one = targets.length === 1 ? targets[0] : undefined;
  const own = one?.kind !== undefined && one.kind !== "archive";
  const cancel = useMutation({
    mutationFn: async (jobs: Target[]) => {
      const outcomes = await Promise.allSettled(
        jobs.map((job) => ask(api.DELETE("/api/jobs/{job_id}", { params: { path: { job_id: job.job_id } } }))),
      );
      const failures = outcomes.filter((outcome) => outcome.status === "rejected").map((outcome) => fromThrown(outcome.reason));
      const first = failures[0];
      if (first && failures.length === jobs.length && jobs.length === 1) throw first;
      return { cancelled: jobs.length - failures.length, failures };
    },
    onSuccess: ({ cancelled, failures }, jobs) => {
      const only = jobs.length === 1 ? jobs[0] : undefined;
      if (cancelled > 0) toast(only ? (own ? text.cancel.doneOwn : text.cancel.done)(only.folder_name) : text.cancel.doneMany(cancelled), "info");
      if (failures[0]) toast(text.cancel.failedMany(failures.length, failures[0].message), "error");
      setTargets([]);
      if (cancelled > 0) onDone?.();
    },
    onSettled: (_data, _error, jobs) => {
      for (const job of jobs) void client.invalidateQueries({ queryKey: keys.job(job.job_id) });
      for (const queryKey of [keys.queue, keys.jobs, keys.folders, keys.packs, keys.space]) void client.invalidateQueries({ queryKey });
    },
  });
  const dialog = targets.length > 0 && (
    <Suspense fallback={null}>
    <ConfirmDialog
      title={one ? (own ? text.cancel.titleOwn : text.cancel.title)(one.folder_name) : text.cancel.titleMany(targets.length)}
      effects={own ? text.cancel.own : [text.cancel.source, text.cancel.local, text.cancel.remote]}
      confirm={one ? (own ? text.cancel.confirmOwn : text.cancel.confirm) : text.cancel.confirmMany(targets.length)}
      keep={text.cancel.keep}
      busy={cancel.isPending}
      error={cancel.error}
      onConfirm={() => cancel.mutate(targets)}
      onClose={() => setTargets([])}
    />
    </Suspense>
  );
  const open = (jobs: Target[]) => {
    cancel.reset();
    setTargets(jobs);
  };
  return { ask: open, dialog };
}
