import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import FormControlLabel from "@mui/material/FormControlLabel";
import Switch from "@mui/material/Switch";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../../api/client";
import type { UserAccount } from "../../api/generated";
import { keys } from "../../api/queries";
import { DialogForm } from "../../components/DialogForm";
import { Field } from "../../components/Field";
import { PasswordField } from "../../components/PasswordField";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";

/** A new user, or a new password for one: what an admin types here is known to two, so it must be changed by default. */
export default function UserDialog({ user, onClose }: { user: UserAccount | null; onClose: () => void }) {
  const client = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [isAdmin, setIsAdmin] = useState(false);
  const [mustChange, setMustChange] = useState(true);
  const save = useMutation({
    mutationFn: () =>
      user
        ? ask(api.PATCH("/api/users/{user_id}", { params: { path: { user_id: user.id } }, body: { password, must_change_password: mustChange } }))
        : ask(api.POST("/api/users", { body: { username, password, is_admin: isAdmin, must_change_password: mustChange } })),
    onSuccess: (account) => {
      toast(user ? text.users.changed(account.username) : text.users.created(account.username));
      void client.invalidateQueries({ queryKey: keys.users });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="xs" aria-labelledby="user-title">
      <DialogForm onSubmit={() => save.mutate()}>
        <DialogTitle id="user-title" component="h2">
          {user ? text.users.resetTitle(user.username) : text.users.create}
        </DialogTitle>
        <DialogContent sx={{ display: "grid", gap: 2, pt: "8px !important" }}>
          {!user && (
            <Field label={text.login.username} value={username} onChange={(event) => setUsername(event.target.value)} autoFocus autoComplete="off" inputProps={{ required: true, maxLength: 100, spellCheck: false, autoCapitalize: "none" }} />
          )}
          <PasswordField label={text.password.fresh} value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="new-password" hint={text.password.rule} />
          {!user && <FormControlLabel control={<Switch checked={isAdmin} onChange={(_, on) => setIsAdmin(on)} />} label={text.settings.admin} />}
          <FormControlLabel control={<Switch checked={mustChange} onChange={(_, on) => setMustChange(on)} />} label={text.users.mustChangeFirst} />
          {save.error && (
            <Alert severity="error" role="alert">
              {save.error.message}
            </Alert>
          )}
        </DialogContent>
        <DialogActions sx={{ px: 3, pb: 2.5 }}>
          <Button variant="outlined" onClick={onClose}>
            {text.action.cancel}
          </Button>
          <Button type="submit" variant="contained" loading={save.isPending}>
            {user ? text.users.resetPassword : text.users.createConfirm}
          </Button>
        </DialogActions>
      </DialogForm>
    </Dialog>
  );
}
