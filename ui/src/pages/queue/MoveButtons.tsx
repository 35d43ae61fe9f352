import Box from "@mui/material/Box";
import { ArrowDown, ArrowUp, ArrowUpToLine } from "lucide-react";

import type { QueuedJob } from "../../api/types";
import { ActionIconButton } from "../../components/ActionButton";
import { text } from "../../text/en";
import type { Goal } from "./useMove";

const LOOK = [
  ["top", ArrowUpToLine],
  ["up", ArrowUp],
  ["down", ArrowDown],
] as const satisfies readonly (readonly [Goal, unknown])[];

/** Another place in the queue, by pointer and by keyboard. */
export function MoveButtons({ job, last, onMove }: { job: QueuedJob; last: number; onMove: (to: Goal) => void }) {
  return (
    <Box sx={{ display: "inline-flex" }}>
      {LOOK.map(([to, Icon]) => {
        const label = text.queue.move[to](job.folder_name);
        return (
          <ActionIconButton key={to} aria-label={label} title={label} disabled={to === "down" ? job.position >= last : job.position <= 1} onClick={() => onMove(to)}>
            <Icon size={17} aria-hidden />
          </ActionIconButton>
        );
      })}
    </Box>
  );
}
