import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { deleteFile, fileQueries } from "../../api/files";
import { keys } from "../../api/queries";
import type { FileEntry } from "../../api/types";
import ConfirmDialog from "../../components/ConfirmDialog";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { eachInTurn } from "./eachInTurn";

interface Props {
  entries: FileEntry[];
  onClose: () => void;
  onDeleted: () => void;
}

/** Says how much goes, and asks for the name, or for the number of many. */
export default function DeleteDialog({ entries, onClose, onDeleted }: Props) {
  const client = useQueryClient();
  const only = entries.length === 1 ? entries[0] : undefined;
  const info = useQuery({ ...fileQueries.info(only?.path ?? ""), enabled: only?.is_dir ?? false }).data;
  const remove = useMutation({
    mutationFn: () => eachInTurn(entries, deleteFile),
    onSuccess: ({ done, failures }) => {
      if (done > 0) toast(only ? text.deleting.done(only.name) : text.deleting.doneMany(done), "info");
      if (failures[0]) toast(text.deleting.failed(failures.length, failures[0].message), "error");
      onDeleted();
      onClose();
    },
    onSettled: () => {
      for (const queryKey of [keys.files, keys.space]) void client.invalidateQueries({ queryKey });
    },
  });
  const word = only ? only.name.trim() : String(entries.length);
  return (
    <ConfirmDialog
      title={only ? text.deleting.title(only.name) : text.deleting.titleMany(entries.length)}
      effects={[...amount(entries, info), text.deleting.final]}
      confirm={text.deleting.confirm}
      typed={{ word, label: text.deleting.type(word) }}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    />
  );
}

/** What goes, in sentences. */
function amount(entries: FileEntry[], info: { total_bytes: number | null; file_count: number | null } | undefined): string[] {
  const only = entries.length === 1 ? entries[0] : undefined;
  if (only?.is_dir) return [info ? text.deleting.folder(info.file_count ?? 0, info.total_bytes ?? 0) : text.deleting.measuring];
  if (only) return only.size === null ? [] : [text.deleting.file(only.size)];
  const folders = entries.filter((entry) => entry.is_dir).length;
  return folders > 0 ? [text.deleting.folders(folders)] : [];
}
