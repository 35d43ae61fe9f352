import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../../api/client";
import type { FileEntry } from "../../api/types";
import { Field } from "../../components/Field";
import { PasswordField } from "../../components/PasswordField";
import { toast } from "../../components/toasts";
import { archivesText as archives } from "../../text/enArchives";
import { filesText as text } from "../../text/enFiles";
import { archiveStem, join, nameFault } from "../../util/files";
import { noteBegun } from "./begun";
import { FormDialog } from "./FormDialog";
import { Labelled } from "./Labelled";
import type { Place } from "./offer";

const FORMATS = ["zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"] as const;
type Format = (typeof FORMATS)[number];
const FORMAT_OPTIONS = FORMATS.map((format) => [format, format] as const);
const LEVELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [String(n), archives.archiving.levels(n)] as const);
const VOLUMES = Object.entries(archives.archiving.volumes).toSorted(([one], [other]) => Number(one) - Number(other));
const BALANCED = "6";

interface Props {
  entries: FileEntry[];
  place: Place;
  onClose: () => void;
}

export default function ArchiveDialog({ entries, place, onClose }: Props) {
  const client = useQueryClient();
  // What is taken from the NAS arrives at the top of the workspace.
  const folder = place.root === "workspace" ? place.path : "";
  const [name, setName] = useState(() => archiveStem(entries, place.path, text.top[place.root]));
  const [format, setFormat] = useState<Format>("zip");
  const [level, setLevel] = useState(BALANCED);
  const [password, setPassword] = useState("");
  const [volume, setVolume] = useState("");
  const locks = format === "zip" || format === "7z";
  const output = `${name}.${format}`;
  const fault = name.trim() ? nameFault(output) : "empty";
  const make = useMutation({
    mutationFn: () =>
      ask(
        api.POST("/api/archives", {
          body: {
            paths: entries.map((entry) => entry.path),
            root: place.root,
            output: join(folder, output),
            format,
            level: format === "tar" ? null : Number(level),
            password: locks && password ? password : null,
            volume_bytes: locks && volume ? Number(volume) : null,
          },
        }),
      ),
    onSuccess: () => {
      toast(archives.archiving.begun(output), "info");
      onClose();
    },
    onSettled: (begun) => noteBegun(client, begun?.job_id),
  });
  return (
    <FormDialog
      title={archives.archiving.title(entries.length, entries[0]?.name ?? "")}
      confirm={archives.archiving.confirm}
      ready={fault === null}
      busy={make.isPending}
      error={make.error}
      onSubmit={() => make.mutate()}
      onClose={onClose}
    >
      <Typography variant="body2">{archives.archiving.where(folder || text.top.workspace)}</Typography>
      <Field
        label={archives.archiving.name}
        value={name}
        onChange={(event) => setName(event.target.value)}
        autoComplete="off"
        spellCheck={false}
        error={fault !== null}
        hint={fault ? text.faults[fault] : output}
      />
      <Box sx={{ display: "flex", flexWrap: "wrap", gap: 1.5 }}>
        <Labelled label={archives.archiving.format} value={format} options={FORMAT_OPTIONS} onChange={setFormat} />
        {format !== "tar" && <Labelled label={archives.archiving.level} value={level} options={LEVELS} onChange={setLevel} />}
        {locks && <Labelled label={archives.archiving.volume} value={volume} options={VOLUMES} onChange={setVolume} />}
      </Box>
      {locks ? (
        <PasswordField label={archives.archiving.password} value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="new-password" hint={archives.archiving.passwordHint} optional />
      ) : (
        <Typography variant="body2" sx={{ color: "text.secondary" }}>
          {archives.archiving.noPassword}
        </Typography>
      )}
    </FormDialog>
  );
}
