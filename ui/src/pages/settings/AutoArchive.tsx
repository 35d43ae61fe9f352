import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import FormControlLabel from "@mui/material/FormControlLabel";
import Switch from "@mui/material/Switch";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { X } from "lucide-react";
import { type FormEvent, useState } from "react";

import { api, ask } from "../../api/client";
import { fromThrown } from "../../api/errors";
import type { AutoArchive as Wanted } from "../../api/types";
import { Field } from "../../components/Field";
import { Section } from "../../components/Section";
import { ErrorPanel } from "../../components/states";
import { toast } from "../../components/toasts";
import { autoText as text } from "../../text/enAuto";

const KEY = ["auto-archive"] as const;

/** Of what arrives in one's workspace a zip is made by itself. */
export default function AutoArchive() {
  const client = useQueryClient();
  const [folder, setFolder] = useState("");
  const wanted = useQuery({ queryKey: KEY, queryFn: () => ask(api.GET("/api/files/auto-archive")) });
  const change = useMutation({
    mutationFn: (body: { everything?: boolean; folders?: string[] }) => ask(api.PUT("/api/files/auto-archive", { body })),
    onSuccess: (now: Wanted) => client.setQueryData(KEY, now),
    onError: (error) => toast(fromThrown(error).message, "error"),
  });
  const { everything = false, folders = [], waiting_files = 0, problem = null } = wanted.data ?? {};
  const busy = !wanted.data || change.isPending;
  if (wanted.error && !wanted.data) {
    return (
      <Section title={text.title} hint={text.hint}>
        <ErrorPanel error={wanted.error} onRetry={() => wanted.refetch()} />
      </Section>
    );
  }
  const add = (event: FormEvent) => {
    event.preventDefault();
    change.mutate({ folders: [...folders, folder] }, { onSuccess: () => setFolder("") });
  };
  return (
    <Section title={text.title} hint={text.hint}>
      {problem && (
        <Alert severity="warning" action={<Button onClick={() => change.mutate({})}>{text.dismiss}</Button>}>
          {problem}
        </Alert>
      )}
      <FormControlLabel control={<Switch checked={everything} disabled={busy} onChange={(_, on) => change.mutate({ everything: on })} />} label={text.everything} />
      <Box component="form" onSubmit={add} sx={{ display: "flex", flexWrap: "wrap", gap: 1.5, alignItems: "center" }}>
        <Field label={text.folder} value={folder} disabled={everything} onChange={(event) => setFolder(event.target.value)} sx={{ flex: "1 1 220px", width: "auto" }} />
        <Button type="submit" variant="outlined" disabled={busy || everything || folder.trim() === ""}>
          {text.add}
        </Button>
      </Box>
      {folders.length > 0 && (
        <Box component="ul" aria-label={text.folders} sx={{ display: "flex", flexWrap: "wrap", gap: 1, listStyle: "none", m: 0, p: 0 }}>
          {folders.map((one) => (
            <Box component="li" key={one} sx={{ minWidth: 0 }}>
              <Button
                size="small"
                variant="outlined"
                color="inherit"
                disabled={busy || everything}
                aria-label={text.remove(one)}
                endIcon={<X size={14} aria-hidden />}
                onClick={() => change.mutate({ folders: folders.filter((other) => other !== one) })}
                sx={{ maxWidth: 1, overflowWrap: "anywhere", textTransform: "none" }}
              >
                {one}
              </Button>
            </Box>
          ))}
        </Box>
      )}
      {waiting_files > 0 && (
        <Typography variant="body2" sx={{ color: "text.secondary" }}>
          {text.waiting(waiting_files)}
        </Typography>
      )}
    </Section>
  );
}
