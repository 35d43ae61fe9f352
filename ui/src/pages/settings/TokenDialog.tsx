import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import Typography from "@mui/material/Typography";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";

import { api, ask } from "../../api/client";
import type { NewToken, Token } from "../../api/generated";
import { keys } from "../../api/queries";
import { ActionButton } from "../../components/ActionButton";
import { CopyText } from "../../components/CopyText";
import { DialogForm } from "../../components/DialogForm";
import { Field } from "../../components/Field";
import { Pick } from "../../components/Pick";
import { text } from "../../text/en";
import { adminText } from "../../text/enAdmin";
import { MONO } from "../../theme/theme";

type Scope = Token["scope"];
type Lifetime = keyof typeof adminText.tokens.lifetimes;
const SCOPES: readonly Scope[] = ["read", "operate", "admin"];
const LIFETIMES = ["90", "30", "365", ""] as const satisfies readonly Lifetime[];

/** Name, scope and end; then, once, the token itself. It closes by its button only while the token is shown. */
export default function TokenDialog({ isAdmin, onClose }: { isAdmin: boolean; onClose: () => void }) {
  const client = useQueryClient();
  const create = useMutation({
    mutationFn: (wanted: { name: string; scope: Scope; expires_in_days: number | null }) => ask(api.POST("/api/tokens", { body: wanted })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tokens }),
  });
  return (
    <Dialog open onClose={() => !create.data && onClose()} fullWidth maxWidth="xs" aria-labelledby="token-title">
      {create.data ? (
        <Made token={create.data} onClose={onClose} />
      ) : (
        <Ask isAdmin={isAdmin} busy={create.isPending} error={create.error} onCreate={create.mutate} onClose={onClose} />
      )}
    </Dialog>
  );
}

interface AskProps {
  isAdmin: boolean;
  busy: boolean;
  error: Error | null;
  onCreate: (wanted: { name: string; scope: Scope; expires_in_days: number | null }) => void;
  onClose: () => void;
}

function Ask({ isAdmin, busy, error, onCreate, onClose }: AskProps) {
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("read");
  const [lifetime, setLifetime] = useState<Lifetime>("90");
  const submit = () => {
    onCreate({ name: name.trim(), scope, expires_in_days: lifetime ? Number(lifetime) : null });
  };
  return (
    <DialogForm onSubmit={submit}>
      <DialogTitle id="token-title" component="h2">
        {adminText.tokens.createTitle}
      </DialogTitle>
      <DialogContent sx={{ display: "grid", gap: 2, pt: "8px !important" }}>
        <Field label={adminText.tokens.name} hint={adminText.tokens.nameHint} value={name} onChange={(event) => setName(event.target.value)} autoFocus autoComplete="off" inputProps={{ required: true, maxLength: 100 }} />
        <Choice label={adminText.tokens.scope}>
          <Pick label={adminText.tokens.scope} value={scope} options={SCOPES.filter((one) => isAdmin || one !== "admin").map((one) => [one, adminText.tokens.scopes[one]] as const)} onChange={setScope} />
        </Choice>
        <Choice label={adminText.tokens.expires}>
          <Pick label={adminText.tokens.expires} value={lifetime} options={LIFETIMES.map((one) => [one, adminText.tokens.lifetimes[one]] as const)} onChange={setLifetime} />
        </Choice>
        {error && (
          <Alert severity="error" role="alert">
            {error.message}
          </Alert>
        )}
      </DialogContent>
      <DialogActions sx={{ px: 3, pb: 2.5 }}>
        <Button variant="outlined" onClick={onClose}>
          {text.action.cancel}
        </Button>
        <ActionButton type="submit" variant="contained" loading={busy} disabled={!name.trim()}>
          {adminText.tokens.createConfirm}
        </ActionButton>
      </DialogActions>
    </DialogForm>
  );
}

function Choice({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Box sx={{ display: "grid", gap: 0.5 }}>
      <Typography variant="caption" aria-hidden sx={{ color: "text.secondary" }}>
        {label}
      </Typography>
      {children}
    </Box>
  );
}

function Made({ token, onClose }: { token: NewToken; onClose: () => void }) {
  return (
    <>
      <DialogTitle id="token-title" component="h2">
        {adminText.tokens.madeTitle(token.name)}
      </DialogTitle>
      <DialogContent sx={{ display: "grid", gap: 1.5 }}>
        <Alert severity="warning">{adminText.tokens.once}</Alert>
        <Box data-new-token sx={{ p: 1.5, border: 1, borderColor: "divider", borderRadius: "8px", backgroundColor: "background.raised" }}>
          <CopyText value={token.token} what={adminText.tokens.token} />
        </Box>
        <Typography variant="caption" sx={{ color: "text.secondary" }}>
          {adminText.tokens.usage}
          <Box component="code" sx={{ display: "block", fontFamily: MONO, mt: 0.5 }}>
            {adminText.tokens.header}
          </Box>
        </Typography>
      </DialogContent>
      <DialogActions sx={{ px: 3, pb: 2.5 }}>
        <Button variant="contained" onClick={onClose}>
          {adminText.tokens.done}
        </Button>
      </DialogActions>
    </>
  );
}
