import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { moveFile } from "../../api/files";
import { keys } from "../../api/queries";
import type { FileEntry } from "../../api/types";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { join, parentOf } from "../../util/files";
import { eachInTurn } from "./eachInTurn";
import { FolderPicker } from "./FolderPicker";
import { FormDialog } from "./FormDialog";

interface Props {
  entries: FileEntry[];
  onClose: () => void;
  onMoved: () => void;
}

export default function MoveDialog({ entries, onClose, onMoved }: Props) {
  const client = useQueryClient();
  const [folder, setFolder] = useState(parentOf(entries[0]?.path ?? ""));
  const moving = new Set(entries.map((entry) => entry.path));
  const stays = entries.every((entry) => parentOf(entry.path) === folder);
  const move = useMutation({
    mutationFn: () => eachInTurn(entries, (entry) => moveFile(entry.path, join(folder, entry.name))),
    onSuccess: ({ done, failures }) => {
      if (done > 0) toast(text.moving.done(done, folder || text.top.workspace));
      if (failures[0]) toast(text.moving.failed(failures.length, failures[0].message), "error");
      if (done > 0) onMoved();
      onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: keys.files }),
  });
  return (
    <FormDialog
      title={text.moving.title(entries.length, entries[0]?.name ?? "")}
      confirm={text.moving.confirm}
      ready={!stays}
      busy={move.isPending}
      error={move.error}
      onSubmit={() => move.mutate()}
      onClose={onClose}
    >
      <FolderPicker label={text.moving.where} folder={folder} onFolder={setFolder} without={moving} />
    </FormDialog>
  );
}
