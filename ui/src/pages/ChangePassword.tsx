import Typography from "@mui/material/Typography";
import { Navigate, useNavigate } from "react-router";

import { useMe } from "../api/queries";
import { useLogin } from "../api/session";
import { AuthFrame } from "../components/AuthFrame";
import { PasswordForm } from "../components/PasswordForm";
import { ErrorPanel } from "../components/states";
import { toast } from "../components/toasts";
import { text } from "../text/en";
import { paths } from "../util/paths";

/** Before anything else, while the password is one that somebody else knows. */
export function ChangePassword() {
  const login = useLogin();
  const me = useMe();
  const navigate = useNavigate();
  if (!login) return <Navigate to={paths.login()} replace />;
  const done = () => {
    toast(text.password.done);
    void navigate(paths.home(), { replace: true });
  };
  return (
    <AuthFrame title={text.password.forcedTitle}>
      <Typography variant="body2" sx={{ mb: 2.5, color: "text.secondary" }}>
        {text.password.forcedText}
      </Typography>
      {me.error && <ErrorPanel error={me.error} onRetry={() => me.refetch()} />}
      {me.data && <PasswordForm username={me.data.username} onDone={done} />}
    </AuthFrame>
  );
}
