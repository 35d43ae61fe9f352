import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import Typography from "@mui/material/Typography";
import { useId, useState } from "react";

import { text } from "../text/en";
import { ActionButton } from "./ActionButton";
import { DialogForm } from "./DialogForm";
import { Field } from "./Field";

interface Props {
  title: string;
  /** What will happen, one sentence each. */
  effects: string[];
  confirm: string;
  keep?: string;
  /** To be typed before the button works: for what cannot be taken back. */
  typed?: { word: string; label: string };
  busy: boolean;
  error: Error | null;
  onConfirm: () => void;
  onClose: () => void;
}

/** Mount it when the question is asked, so that it always starts fresh. The safe button has the focus first. */
export default function ConfirmDialog({ title, effects, confirm, keep = text.action.cancel, typed, busy, error, onConfirm, onClose }: Props) {
  const [word, setWord] = useState("");
  const id = useId();
  const ready = !typed || word.trim() === typed.word;
  const submit = () => {
    if (ready && !busy) onConfirm();
  };
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="xs" aria-labelledby={id}>
      <DialogForm onSubmit={submit}>
        <DialogTitle id={id} component="h2">
          {title}
        </DialogTitle>
        <DialogContent sx={{ display: "grid", gap: 1.25 }}>
          {effects.map((effect) => (
            <Typography key={effect} variant="body2">
              {effect}
            </Typography>
          ))}
          {typed && (
            <Field label={typed.label} value={word} onChange={(event) => setWord(event.target.value)} autoComplete="off" sx={{ mt: 1 }} />
          )}
          {error && (
            <Alert severity="error" role="alert">
              {error.message}
            </Alert>
          )}
        </DialogContent>
        <DialogActions sx={{ px: 3, pb: 2.5 }}>
          <Button variant="outlined" onClick={onClose} autoFocus>
            {keep}
          </Button>
          <ActionButton type="submit" variant="contained" color="error" disabled={!ready} loading={busy}>
            {confirm}
          </ActionButton>
        </DialogActions>
      </DialogForm>
    </Dialog>
  );
}
