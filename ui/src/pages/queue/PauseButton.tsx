import { Pause, Play } from "lucide-react";

import { jobCan } from "../../api/jobCan";
import type { Status } from "../../api/types";
import { ActionIconButton } from "../../components/ActionButton";
import { useControl } from "../../components/useControl";
import { text } from "../../text/en";

interface Props {
  job: { job_id: string; folder_name: string; status: Status; paused: boolean; cancelling: boolean };
}

/** Pause, or go on; nothing where neither is possible. */
export function PauseButton({ job }: Props) {
  const control = useControl();
  if (!jobCan.pause(job) && !jobCan.resume(job)) return null;
  const label = job.paused ? text.queue.resumeOne(job.folder_name) : text.queue.pauseOne(job.folder_name);
  const Icon = job.paused ? Play : Pause;
  return (
    <ActionIconButton aria-label={label} title={label} disabled={control.busy} onClick={() => (job.paused ? control.resume : control.pause)([job.job_id])}>
      <Icon size={17} aria-hidden />
    </ActionIconButton>
  );
}
