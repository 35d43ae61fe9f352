import Typography from "@mui/material/Typography";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../../api/client";
import type { RootName } from "../../api/files";
import type { ArchiveContent, FileEntry } from "../../api/types";
import { Field } from "../../components/Field";
import { PasswordField } from "../../components/PasswordField";
import { toast } from "../../components/toasts";
import { archivesText as archives } from "../../text/enArchives";
import { join, parentOf, stem } from "../../util/files";
import { noteBegun } from "./begun";
import { FormDialog } from "./FormDialog";

export type Chosen = Pick<ArchiveContent, "path" | "path_base64">;

const EVERYTHING: Chosen[] = [];

interface Props {
  entry: Pick<FileEntry, "name" | "path">;
  root: RootName;
  /** Entries of the archive; none: everything. */
  chosen?: Chosen[];
  known?: string;
  onClose: () => void;
}

export default function ExtractDialog({ entry, root, chosen = EVERYTHING, known = "", onClose }: Props) {
  const client = useQueryClient();
  const [folder, setFolder] = useState(() => join(root === "workspace" ? parentOf(entry.path) : "", stem(entry.name)));
  const [password, setPassword] = useState(known);
  const entries = chosen.filter((one) => one.path_base64 === null).map((one) => one.path);
  const entries_base64 = chosen.flatMap((one) => one.path_base64 ?? []);
  const extract = useMutation({
    mutationFn: () => ask(api.POST("/api/archives/extract", { body: { path: entry.path, root, destination: folder.trim(), entries, entries_base64, password: password || null } })),
    onSuccess: () => {
      toast(archives.extracting.begun(entry.name), "info");
      onClose();
    },
    onSettled: (begun) => noteBegun(client, begun?.job_id),
  });
  return (
    <FormDialog title={archives.extracting.title(entry.name)} confirm={archives.extracting.confirm} busy={extract.isPending} error={extract.error} onSubmit={() => extract.mutate()} onClose={onClose}>
      {chosen.length > 0 && <Typography variant="body2">{archives.extracting.some(chosen.length)}</Typography>}
      <Field
        label={archives.extracting.into}
        value={folder}
        onChange={(event) => setFolder(event.target.value)}
        autoComplete="off"
        spellCheck={false}
        hint={archives.extracting.intoHint}
      />
      <PasswordField label={archives.extracting.password} value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="off" optional />
    </FormDialog>
  );
}
