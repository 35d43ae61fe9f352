import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import FormControlLabel from "@mui/material/FormControlLabel";
import Switch from "@mui/material/Switch";
import Typography from "@mui/material/Typography";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, ask } from "../../api/client";
import type { UserAccount } from "../../api/generated";
import { keys } from "../../api/queries";
import { ActionButton } from "../../components/ActionButton";
import { DialogForm } from "../../components/DialogForm";
import { Field } from "../../components/Field";
import { PasswordField } from "../../components/PasswordField";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { usersText } from "../../text/enUsers";
import { exactSize, parseSize } from "../../util/units";

const TITLES: Record<Asked, (name: string) => string> = { create: () => text.users.create, password: text.users.resetTitle, quota: usersText.editTitle };
const CONFIRMS: Record<Asked, string> = { create: text.users.createConfirm, password: text.users.resetPassword, quota: usersText.save };

/** What is asked about: a new user, or a new password or quota for one. */
export type Asked = "create" | "password" | "quota";

interface Props {
  what: Asked;
  /** Null for a new user. */
  user: UserAccount | null;
  onClose: () => void;
}

/** A password that an admin types here is known to two, so it must be changed by default. */
export default function UserDialog({ what, user, onClose }: Props) {
  const client = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [isAdmin, setIsAdmin] = useState(false);
  const [mustChange, setMustChange] = useState(true);
  const [quota, setQuota] = useState(user && user.quota_bytes !== null ? exactSize(user.quota_bytes) : "");
  const quota_bytes = quota.trim() ? parseSize(quota) : null;
  const wrongQuota = quota.trim() !== "" && quota_bytes === null;
  const save = useMutation({
    mutationFn: () =>
      user
        ? ask(api.PATCH("/api/users/{user_id}", { params: { path: { user_id: user.id } }, body: what === "quota" ? { quota_bytes } : { password, must_change_password: mustChange } }))
        : ask(api.POST("/api/users", { body: { username, password, is_admin: isAdmin, must_change_password: mustChange, quota_bytes } })),
    onSuccess: (account) => {
      toast(user ? text.users.changed(account.username) : text.users.created(account.username));
      void client.invalidateQueries({ queryKey: keys.users });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="xs" aria-labelledby="user-title">
      <DialogForm onSubmit={() => !wrongQuota && save.mutate()}>
        <DialogTitle id="user-title" component="h2">
          {TITLES[what](user?.username ?? "")}
        </DialogTitle>
        <DialogContent sx={{ display: "grid", gap: 2, pt: "8px !important" }}>
          {!user && (
            <Field label={text.login.username} value={username} onChange={(event) => setUsername(event.target.value)} autoFocus autoComplete="off" inputProps={{ required: true, maxLength: 100, spellCheck: false, autoCapitalize: "none" }} />
          )}
          {what === "quota" && <Typography variant="body2">{usersText.editText}</Typography>}
          {what !== "quota" && <PasswordField label={text.password.fresh} value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="new-password" hint={text.password.rule} />}
          {what !== "password" && <Field label={usersText.quota} value={quota} onChange={(event) => setQuota(event.target.value)} autoFocus={what === "quota"} autoComplete="off" error={wrongQuota} hint={wrongQuota ? usersText.quotaWrong : usersText.quotaHint} />}
          {!user && <FormControlLabel control={<Switch checked={isAdmin} onChange={(_, on) => setIsAdmin(on)} />} label={text.settings.admin} />}
          {what !== "quota" && <FormControlLabel control={<Switch checked={mustChange} onChange={(_, on) => setMustChange(on)} />} label={text.users.mustChangeFirst} />}
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
          <ActionButton type="submit" variant="contained" loading={save.isPending}>
            {CONFIRMS[what]}
          </ActionButton>
        </DialogActions>
      </DialogForm>
    </Dialog>
  );
}
