import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { UserPlus } from "lucide-react";
import { lazy, Suspense, useState } from "react";

import { api, ask } from "../../api/client";
import type { UserAccount } from "../../api/generated";
import { keys, queries, useMe } from "../../api/queries";
import { ActionButton } from "../../components/ActionButton";
import { AdminOnly } from "../../components/AdminOnly";
import { PageHeader } from "../../components/PageHeader";
import { ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { usersText } from "../../text/enUsers";
import { UserRows, type UserQuestion } from "./UserRows";
import { useChangeUser } from "./useChangeUser";

const UserDialog = lazy(() => import("./UserDialog"));
const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));

type Asked = { what: "create" } | UserQuestion | null;

export function Users() {
  const me = useMe().data;
  return <AdminOnly>{me && <UserList own={me.id} />}</AdminOnly>;
}

function UserList({ own }: { own: string }) {
  const users = useQuery(queries.users());
  const [asked, setAsked] = useState<Asked>(null);
  const close = () => setAsked(null);
  return (
    <>
      <PageHeader
        title={text.users.title}
        subtitle={users.data ? text.users.count(users.data.length) : "\u00a0"}
        actions={
          <ActionButton variant="contained" startIcon={<UserPlus size={16} aria-hidden />} onClick={() => setAsked({ what: "create" })}>
            {text.users.create}
          </ActionButton>
        }
      />
      <StaleNote query={users} />
      {users.error && !users.data && <ErrorPanel error={users.error} onRetry={() => users.refetch()} />}
      {!users.error && !users.data && <SkeletonRows rows={4} height={64} />}
      {users.data && <UserRows users={users.data} own={own} onAsk={setAsked} />}
      <Suspense fallback={null}>
        {asked?.what === "create" && <UserDialog what="create" user={null} onClose={close} />}
        {(asked?.what === "password" || asked?.what === "quota") && <UserDialog what={asked.what} user={asked.user} onClose={close} />}
        {asked?.what === "admin" && <MakeAdmin user={asked.user} onClose={close} />}
        {asked?.what === "delete" && <Delete user={asked.user} onClose={close} />}
      </Suspense>
    </>
  );
}

/** It gives rights over everybody, so it asks; taking them away does not. */
function MakeAdmin({ user, onClose }: { user: UserAccount; onClose: () => void }) {
  const change = useChangeUser(user, onClose);
  return (
    <ConfirmDialog
      title={usersText.adminTitle(user.username)}
      effects={usersText.adminEffects}
      confirm={usersText.adminConfirm}
      busy={change.isPending}
      error={change.error}
      onConfirm={() => change.mutate({ is_admin: true })}
      onClose={onClose}
    />
  );
}

function Delete({ user, onClose }: { user: UserAccount; onClose: () => void }) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: () => ask(api.DELETE("/api/users/{user_id}", { params: { path: { user_id: user.id } } })),
    onSuccess: () => {
      toast(text.users.deleted(user.username));
      onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: keys.users }),
  });
  return (
    <ConfirmDialog
      title={text.users.deleteTitle(user.username)}
      effects={[text.users.deleteLogins, text.users.deleteJobs]}
      confirm={text.users.deleteConfirm}
      typed={{ word: user.username, label: text.users.deleteType(user.username) }}
      busy={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    />
  );
}
