import Button from "@mui/material/Button";
import { useMutation } from "@tanstack/react-query";

import { type FolderQuery, readFolders } from "../../api/queries";
import type { Folder } from "../../api/types";
import { BulkBar } from "../../components/BulkBar";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { selectionText } from "../../text/enSelection";
import type { Selection } from "./selection";

/** What is selected at once at most. */
const MOST = 1000;

interface Props {
  selected: Selection;
  asked: FolderQuery;
  /** Whether more match than the page shows. */
  more: boolean;
  onSelect: (folders: Folder[]) => void;
  onClear: () => void;
  onReview: () => void;
}

/** What can be done with the selected folders, and how all that match join them. Fetched with the first selection. */
export default function FolderBar({ selected, asked, more, onSelect, onClear, onReview }: Props) {
  const all = useMutation({
    mutationFn: () => readFolders({ ...asked, include: undefined, offered: true, limit: MOST, offset: 0 }),
    onSuccess: ({ items, total }) => {
      onSelect(items);
      if (total > items.length) toast(selectionText.first(items.length, total), "info");
    },
    onError: (error) => toast(error.message, "error"),
  });
  const size = [...selected.values()].reduce((sum, folder) => sum + folder.size_bytes, 0);
  return (
    <BulkBar
      label={text.folders.bulkLabel}
      actions={
        <>
          {more && (
            <Button onClick={() => all.mutate()} loading={all.isPending}>
              {selectionText.all}
            </Button>
          )}
          <Button onClick={onClear}>{text.folders.clearSelection}</Button>
          <Button variant="contained" onClick={onReview}>
            {text.folders.review}
          </Button>
        </>
      }
    >
      {text.folders.selected(selected.size, size)}
    </BulkBar>
  );
}
