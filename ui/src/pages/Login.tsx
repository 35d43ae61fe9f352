import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";
import { Navigate, useSearchParams } from "react-router";

import { api, ApiError, ask } from "../api/client";
import { keys } from "../api/queries";
import { session, useLogin } from "../api/session";
import { AuthFrame } from "../components/AuthFrame";
import { Field } from "../components/Field";
import { PasswordField } from "../components/PasswordField";
import { text } from "../text/en";
import { safeNext } from "../util/paths";
import { useNow } from "../util/useNow";

/** Seconds until another try is let in; 0 when it is. */
function useLockOut(error: Error | null, failedAt: number): number {
  const wait = error instanceof ApiError && error.status === 429 ? (error.retryAfter ?? 0) : 0;
  const now = useNow(wait ? 500 : 0);
  return wait ? Math.max(0, Math.ceil(wait - (now - failedAt) / 1000)) : 0;
}

export function Login() {
  const loggedIn = useLogin();
  const [query] = useSearchParams();
  const client = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [failedAt, setFailedAt] = useState(0);
  const login = useMutation({
    mutationFn: () => ask(api.POST("/api/auth/login", { body: { username, password, cookie: true } })),
    onSuccess: ({ user }) => {
      session.begin();
      client.setQueryData(keys.me, user);
    },
    onError: () => setFailedAt(Date.now()),
  });
  const wait = useLockOut(login.error, failedAt);
  if (loggedIn) return <Navigate to={safeNext(query.get("next"))} replace />;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    login.mutate();
  };
  return (
    <AuthFrame title={text.login.title}>
      <Box component="form" onSubmit={submit} sx={{ display: "grid", gap: 2 }}>
        <Field
          label={text.login.username}
          name="username"
          autoComplete="username"
          autoFocus
          value={username}
          onChange={(event) => setUsername(event.target.value)}
          inputProps={{ required: true, autoCapitalize: "none", spellCheck: false }}
        />
        <PasswordField
          label={text.login.password}
          name="password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        {login.error && (
          <Alert severity="error" role="alert">
            {wait > 0 ? text.login.wait(wait) : login.error.message}
          </Alert>
        )}
        <Button type="submit" variant="contained" size="large" loading={login.isPending} disabled={wait > 0}>
          {text.login.submit}
        </Button>
      </Box>
    </AuthFrame>
  );
}
