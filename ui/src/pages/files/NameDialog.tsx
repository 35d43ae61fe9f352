import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { makeFolder, moveFile } from "../../api/files";
import { keys } from "../../api/queries";
import type { FileEntry } from "../../api/types";
import { Field } from "../../components/Field";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { join, nameFault, parentOf } from "../../util/files";
import { FormDialog } from "./FormDialog";

interface Props {
  /** What gets another name; without it a new folder is made. */
  entry?: FileEntry;
  folder: string;
  onClose: () => void;
}

export default function NameDialog({ entry, folder, onClose }: Props) {
  const client = useQueryClient();
  const [name, setName] = useState(entry?.name ?? "");
  const [touched, setTouched] = useState(false);
  const fault = nameFault(name);
  const save = useMutation({
    mutationFn: () => (entry ? moveFile(entry.path, join(parentOf(entry.path), name)) : makeFolder(join(folder, name))),
    onSuccess: () => {
      toast(entry ? text.renaming.done(name) : text.folder.made(name));
      onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: keys.files }),
  });
  return (
    <FormDialog
      title={entry ? text.renaming.title(entry.name) : text.folder.title}
      confirm={entry ? text.renaming.confirm : text.folder.confirm}
      ready={fault === null && name !== entry?.name}
      busy={save.isPending}
      error={save.error}
      onSubmit={() => save.mutate()}
      onClose={onClose}
    >
      <Field
        label={text.folder.name}
        value={name}
        autoFocus
        autoComplete="off"
        spellCheck={false}
        error={touched && fault !== null}
        hint={touched && fault ? text.faults[fault] : undefined}
        onChange={(event) => {
          setName(event.target.value);
          save.reset();
          setTouched(true);
        }}
      />
    </FormDialog>
  );
}
