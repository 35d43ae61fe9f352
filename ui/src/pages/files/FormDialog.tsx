/** A dialog with a form: a title, fields, what went wrong, two buttons. */
import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import { type ReactNode, useId } from "react";

import { ActionButton } from "../../components/ActionButton";
import { DialogForm } from "../../components/DialogForm";
import { text } from "../../text/en";

interface Props {
  title: string;
  confirm: string;
  danger?: boolean;
  ready?: boolean;
  busy: boolean;
  error: Error | null;
  onSubmit: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function FormDialog({ title, confirm, danger = false, ready = true, busy, error, onSubmit, onClose, children }: Props) {
  const id = useId();
  const submit = () => {
    if (ready && !busy) onSubmit();
  };
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="sm" aria-labelledby={id}>
      <DialogForm onSubmit={submit} noValidate>
        <DialogTitle id={id} component="h2">
          {title}
        </DialogTitle>
        <DialogContent sx={{ display: "grid", gap: 2, "&&": { pt: 1 } }}>
          {children}
          {error && (
            <Alert severity="error" role="alert">
              {error.message}
            </Alert>
          )}
        </DialogContent>
        <DialogActions sx={{ px: 3, pb: 2.5, flexWrap: "wrap", gap: 1 }}>
          <Button variant="outlined" onClick={onClose}>
            {text.action.cancel}
          </Button>
          <ActionButton type="submit" variant="contained" color={danger ? "error" : "primary"} disabled={!ready} loading={busy}>
            {confirm}
          </ActionButton>
        </DialogActions>
      </DialogForm>
    </Dialog>
  );
}
