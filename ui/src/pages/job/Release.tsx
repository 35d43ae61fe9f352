import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask } from "../../api/client";
import { keys } from "../../api/queries";
import type { JobDetail } from "../../api/types";
import ConfirmDialog from "../../components/ConfirmDialog";
import { toast } from "../../components/toasts";
import { jobText } from "../../text/enJob";

/** Before a proven archive's place is given up: what that means. Globus is asked by the gateway. */
export default function Release({ job, onClose }: { job: JobDetail; onClose: () => void }) {
  const client = useQueryClient();
  const release = useMutation({
    mutationFn: () => ask(api.POST("/api/jobs/{job_id}/release-destination", { params: { path: { job_id: job.job_id } } })),
    onSuccess: () => {
      toast(jobText.release.done(job.folder_name), "info");
      onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: keys.job(job.job_id) }),
  });
  return (
    <ConfirmDialog
      title={jobText.release.title(job.folder_name)}
      effects={[jobText.release.asks, jobText.release.voids, jobText.release.last]}
      confirm={jobText.release.confirm}
      busy={release.isPending}
      error={release.error}
      onConfirm={() => release.mutate()}
      onClose={onClose}
    />
  );
}
