/** The task card: a button that counts what runs, and a drawer with every task of this workspace. */
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import { useQuery } from "@tanstack/react-query";
import { ListChecks } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState } from "react";

import { fileQueries } from "../../api/files";
import { ALL_KINDS, queries, useMe } from "../../api/queries";
import { usePolling } from "../../api/sync";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { count } from "../../util/units";
import { asked } from "./begun";
import { activeCount, done, running, type TrayTask, trayTasks } from "./tray";

const TaskDrawer = lazy(() => import("./TaskDrawer"));
const MOST = 50;

/** Who asked and looks elsewhere hears that it is done, however quickly that was. */
function useEndings(tasks: TrayTask[]) {
  const before = useRef<ReadonlySet<string>>(new Set());
  useEffect(() => {
    for (const { job } of done(new Set([...before.current, ...asked]), tasks)) toast(text.tasks.done[job.kind](job.folder_name));
    for (const task of tasks) asked.delete(task.id);
    before.current = running(tasks);
  }, [tasks]);
}

export function TaskTray() {
  const [open, setOpen] = useState(false);
  const me = useMe().data;
  const refetchInterval = usePolling();
  const packs = useQuery({ ...fileQueries.packs(MOST), refetchInterval });
  const own = { status: [], kind: [...ALL_KINDS], user: me?.username, limit: MOST, offset: 0 };
  const jobs = useQuery({ ...queries.jobs(own), enabled: me !== undefined, refetchInterval });
  const tasks = trayTasks(packs.data ?? [], jobs.data?.items ?? []);
  const active = activeCount(tasks);
  useEndings(tasks);
  return (
    <>
      <Button variant="outlined" startIcon={<ListChecks size={16} aria-hidden />} aria-label={text.tasks.button(active)} aria-haspopup="dialog" onClick={() => setOpen(true)}>
        {`${text.tasks.title} `}
        {active > 0 && (
          <Box component="span" data-active={active} sx={{ ml: 1, px: 0.9, borderRadius: 99, fontSize: "0.8125rem", backgroundColor: "primary.main", color: "primary.contrastText" }}>
            {count(active)}
          </Box>
        )}
      </Button>
      <Suspense fallback={null}>{open && <TaskDrawer tasks={tasks} error={packs.error ?? jobs.error} onClose={() => setOpen(false)} />}</Suspense>
    </>
  );
}
