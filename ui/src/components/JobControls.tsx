import { Pause, Play } from "lucide-react";

import { jobCan } from "../api/jobCan";
import type { Status } from "../api/types";
import { text } from "../text/en";
import { ActionButton, ActionIconButton } from "./ActionButton";
import { useControl } from "./useControl";

export interface Controlled {
  job_id: string;
  folder_name: string;
  status: Status;
  paused: boolean;
  cancelling: boolean;
}

/** Pause or resume, and cancel: what a job of any kind takes now, the same wherever the job is shown. */
export function JobControls({ job, onCancel }: { job: Controlled; onCancel: () => void }) {
  const late = !jobCan.cancel(job) && !job.cancelling;
  return (
    <>
      <PauseButton job={job} />
      <ActionButton size="small" variant="outlined" disabled={!jobCan.cancel(job)} title={late ? text.cancel.notNow : undefined} onClick={onCancel} aria-label={text.queue.cancelOne(job.folder_name)}>
        {text.queue.cancel}
      </ActionButton>
    </>
  );
}

/** Nothing where neither is possible. */
function PauseButton({ job }: { job: Controlled }) {
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
