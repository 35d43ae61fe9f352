import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useNavigate } from "react-router";

import { queries } from "../api/queries";
import type { JobSummary } from "../api/types";
import { text } from "../text/en";
import { clearText } from "../text/enClear";
import { paths } from "../util/paths";
import { fresh, type Known } from "./failures";
import { toast } from "./toasts";
import { useClear } from "./useClear";

/** Tells of each job that fails, on whatever page one is. What had failed before is in the badges and on the dashboard. */
export default function FailureWatch() {
  const failures = useQuery(queries.failures()).data;
  const known = useRef<Known | null>(null);
  const navigate = useNavigate();
  const { clear } = useClear();
  useEffect(() => {
    if (!failures) return;
    const [now, latest] = fresh(known.current, failures);
    known.current = now;
    const first = latest[0];
    if (!first) return;
    toast(latest.length === 1 ? told(first) : clearText.toldMany(latest.length, told(first)), "error", undefined, [
      { label: clearText.open, run: () => navigate(latest.length === 1 ? paths.job(first.job_id) : paths.history({ status: "failed" })) },
      { label: clearText.dismiss, run: () => clear(latest.map((job) => job.job_id)) },
    ]);
  });
  return null;
}

function told(job: JobSummary): string {
  return clearText.told(text.kind[job.kind], job.folder_name, job.error_message);
}
