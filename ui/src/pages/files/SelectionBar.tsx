import Button from "@mui/material/Button";

import type { FileEntry } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { BulkBar } from "../../components/BulkBar";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import type { Question } from "./offer";

interface Props {
  entries: FileEntry[];
  own: boolean;
  onClear: () => void;
  onAsk: (question: Question) => void;
}

/** What can be done with all that is selected. Fetched with the first selection. */
export default function SelectionBar({ entries, own, onClear, onAsk }: Props) {
  return (
    <BulkBar
      label={text.bulkLabel}
      actions={
        <>
          <Button onClick={onClear}>{common.folders.clearSelection}</Button>
          {own && (
            <>
              <ActionButton color="error" onClick={() => onAsk({ about: "delete", entries })}>
                {text.remove}
              </ActionButton>
              <ActionButton variant="outlined" onClick={() => onAsk({ about: "move", entries })}>
                {text.move}
              </ActionButton>
            </>
          )}
          <ActionButton variant="contained" onClick={() => onAsk({ about: "archive", entries })}>
            {text.archive}
          </ActionButton>
        </>
      }
    >
      {text.selected(
        entries.length,
        entries.reduce((sum, entry) => sum + (entry.size ?? 0), 0),
      )}
    </BulkBar>
  );
}
