import Typography from "@mui/material/Typography";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../../api/client";
import type { RootName } from "../../api/files";
import type { FileEntry } from "../../api/types";
import { Field } from "../../components/Field";
import { PasswordField } from "../../components/PasswordField";
import { toast } from "../../components/toasts";
import { filesText as text } from "../../text/enFiles";
import { join, parentOf, stem } from "../../util/files";
import { noteBegun } from "./begun";
import { FormDialog } from "./FormDialog";

const EVERYTHING: string[] = [];

interface Props {
  entry: Pick<FileEntry, "name" | "path">;
  root: RootName;
  /** Paths inside the archive; none: everything. */
  chosen?: string[];
  known?: string;
  onClose: () => void;
}

export default function ExtractDialog({ entry, root, chosen = EVERYTHING, known = "", onClose }: Props) {
  const client = useQueryClient();
  const [folder, setFolder] = useState(() => join(root === "workspace" ? parentOf(entry.path) : "", stem(entry.name)));
  const [password, setPassword] = useState(known);
  const extract = useMutation({
    mutationFn: () => ask(api.POST("/api/archives/extract", { body: { path: entry.path, root, destination: folder.trim(), entries: chosen, password: password || null } })),
    onSuccess: () => {
      toast(text.extracting.begun(entry.name), "info");
      onClose();
    },
    onSettled: () => noteBegun(client),
  });
  return (
    <FormDialog title={text.extracting.title(entry.name)} confirm={text.extracting.confirm} busy={extract.isPending} error={extract.error} onSubmit={() => extract.mutate()} onClose={onClose}>
      {chosen.length > 0 && <Typography variant="body2">{text.extracting.some(chosen.length)}</Typography>}
      <Field
        label={text.extracting.into}
        value={folder}
        onChange={(event) => setFolder(event.target.value)}
        autoComplete="off"
        spellCheck={false}
        hint={text.extracting.intoHint}
      />
      <PasswordField label={text.extracting.password} value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="off" optional />
    </FormDialog>
  );
}
