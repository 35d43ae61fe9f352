import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";

import { api, ask } from "../api/client";
import { keys } from "../api/queries";
import { session } from "../api/session";
import { follow } from "../api/sync";
import type { User } from "../api/types";
import { text } from "../text/en";
import { ActionButton } from "./ActionButton";
import { PasswordField } from "./PasswordField";

const MINIMUM = 8;

/** The rules are the gateway's; this says at once what it would refuse for its form alone. */
function problem(fresh: string, again: string): string | null {
  if (fresh.length < MINIMUM) return text.password.short;
  return fresh === again ? null : text.password.differ;
}

export function PasswordForm({ username, onDone }: { username: string; onDone: () => void }) {
  const client = useQueryClient();
  const [current, setCurrent] = useState("");
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [asked, setAsked] = useState(false);
  const change = useMutation({
    mutationFn: () => ask(api.POST("/api/auth/password", { body: { current_password: current, new_password: fresh } })),
    onSuccess: () => {
      client.setQueryData<User>(keys.me, (user) => user && { ...user, must_change_password: false });
      follow(session.id()); // the live connection was refused until now
      for (const set of [setCurrent, setFresh, setAgain]) set("");
      setAsked(false);
      onDone();
    },
  });
  const wrong = asked ? problem(fresh, again) : null;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    setAsked(true);
    if (!problem(fresh, again)) change.mutate();
  };
  return (
    <Box component="form" onSubmit={submit} noValidate sx={{ display: "grid", gap: 2 }}>
      <input type="text" name="username" autoComplete="username" value={username} readOnly hidden />
      <PasswordField
        label={text.password.current}
        autoComplete="current-password"
        value={current}
        onChange={(event) => setCurrent(event.target.value)}
      />
      <PasswordField
        label={text.password.fresh}
        autoComplete="new-password"
        value={fresh}
        onChange={(event) => setFresh(event.target.value)}
        hint={text.password.rule}
      />
      <PasswordField
        label={text.password.again}
        autoComplete="new-password"
        value={again}
        onChange={(event) => setAgain(event.target.value)}
        error={wrong !== null}
        hint={wrong}
      />
      {change.error && (
        <Alert severity="error" role="alert">
          {change.error.message}
        </Alert>
      )}
      <ActionButton type="submit" variant="contained" loading={change.isPending} sx={{ justifySelf: "start" }}>
        {text.password.submit}
      </ActionButton>
    </Box>
  );
}
