import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Ban, HardDrive, KeyRound, ShieldCheck, ShieldOff, Trash2, UserPlus, UserRound } from "lucide-react";
import { lazy, Suspense, useState } from "react";

import { api, ask } from "../../api/client";
import type { UserAccount, UserChange } from "../../api/generated";
import { keys, queries, useMe } from "../../api/queries";
import { ActionButton } from "../../components/ActionButton";
import { AdminOnly } from "../../components/AdminOnly";
import { PageHeader } from "../../components/PageHeader";
import { ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { usersText } from "../../text/enUsers";
import { ago, day, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";

const UserDialog = lazy(() => import("./UserDialog"));
const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));

type Asked = { what: "create" } | { what: "password" | "quota" | "admin" | "delete"; user: UserAccount } | null;

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
      {users.data && (
        <Card component="ul" aria-label={text.users.title} sx={{ listStyle: "none", m: 0, p: 0 }}>
          {users.data.map((user) => (
            <Row key={user.id} user={user} isOwn={user.id === own} onAsk={setAsked} />
          ))}
        </Card>
      )}
      <Suspense fallback={null}>
        {asked?.what === "create" && <UserDialog what="create" user={null} onClose={close} />}
        {(asked?.what === "password" || asked?.what === "quota") && <UserDialog what={asked.what} user={asked.user} onClose={close} />}
        {asked?.what === "admin" && <MakeAdmin user={asked.user} onClose={close} />}
        {asked?.what === "delete" && <Delete user={asked.user} onClose={close} />}
      </Suspense>
    </>
  );
}

/** Both switches can be flipped back; the logins that a disabling ended stay ended. Pure. */
export function opposite({ is_admin, disabled }: UserChange): UserChange {
  return typeof is_admin === "boolean" ? { is_admin: !is_admin } : { disabled: !disabled };
}

function failed(error: Error) {
  toast(error.message, "error");
}

function useChange(user: UserAccount, onDone: () => void = () => {}) {
  const client = useQueryClient();
  const apply = (change: UserChange) => ask(api.PATCH("/api/users/{user_id}", { params: { path: { user_id: user.id } }, body: change }));
  const refresh = () => client.invalidateQueries({ queryKey: keys.users });
  const undo = (change: UserChange) => apply(opposite(change)).catch(failed).finally(refresh);
  return useMutation({
    mutationFn: apply,
    onSuccess: (_, change) => {
      toast(text.users.changed(user.username), "success", () => undo(change));
      onDone();
    },
    onError: failed,
    onSettled: refresh,
  });
}

function Row({ user, isOwn, onAsk }: { user: UserAccount; isOwn: boolean; onAsk: (asked: Asked) => void }) {
  const change = useChange(user);
  const now = useNow(60_000);
  const notOwn = isOwn ? text.users.notOwn : undefined;
  const Icon = user.disabled_at ? Ban : user.is_admin ? ShieldCheck : UserRound;
  return (
    <Box
      component="li"
      data-user={user.username}
      sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.5, px: 2, py: 1.5, "& + &": { borderTop: 1, borderColor: "divider" } }}
    >
      <Box sx={{ color: user.disabled_at ? "text.secondary" : "primary.main", display: "flex" }}>
        <Icon size={22} aria-hidden />
      </Box>
      <Box sx={{ flex: "1 1 220px", minWidth: 0 }}>
        <Typography sx={{ fontWeight: 600 }}>
          {user.username}
          {isOwn && (
            <Typography component="span" variant="caption" sx={{ ml: 1, color: "text.secondary" }}>
              {text.users.you}
            </Typography>
          )}
        </Typography>
        <Typography variant="caption" component="p" sx={{ color: "text.secondary" }} title={exactTime(user.last_login ?? user.created_at)}>
          {[
            user.is_admin ? text.settings.admin : text.settings.member,
            user.disabled_at ? text.users.disabled : null,
            user.must_change_password ? text.users.mustChange : null,
            user.quota_bytes === null ? usersText.usualQuota : usersText.quotaOf(user.quota_bytes),
            text.users.createdOn(day(user.created_at)),
            user.last_login ? text.users.lastLogin(ago(user.last_login, now)) : text.users.neverLoggedIn,
          ]
            .filter(Boolean)
            .join(" · ")}
        </Typography>
      </Box>
      <Box sx={{ display: "flex", flexWrap: "wrap", gap: 1 }}>
        <ActionButton size="small" variant="outlined" disabled={isOwn || change.isPending} title={notOwn} startIcon={user.is_admin ? <ShieldOff size={15} aria-hidden /> : <ShieldCheck size={15} aria-hidden />} onClick={() => (user.is_admin ? change.mutate({ is_admin: false }) : onAsk({ what: "admin", user }))}>
          {user.is_admin ? text.users.makeMember : text.users.makeAdmin}
        </ActionButton>
        <ActionButton size="small" variant="outlined" disabled={isOwn || change.isPending} title={notOwn} startIcon={<Ban size={15} aria-hidden />} onClick={() => change.mutate({ disabled: user.disabled_at === null })}>
          {user.disabled_at ? text.users.enable : text.users.disable}
        </ActionButton>
        <ActionButton size="small" variant="outlined" startIcon={<HardDrive size={15} aria-hidden />} aria-label={usersText.editOne(user.username)} onClick={() => onAsk({ what: "quota", user })}>
          {usersText.edit}
        </ActionButton>
        <ActionButton size="small" variant="outlined" disabled={isOwn} title={notOwn} startIcon={<KeyRound size={15} aria-hidden />} onClick={() => onAsk({ what: "password", user })}>
          {text.users.resetPassword}
        </ActionButton>
        <ActionButton size="small" variant="outlined" color="error" disabled={isOwn} title={notOwn} startIcon={<Trash2 size={15} aria-hidden />} aria-label={text.users.deleteOne(user.username)} onClick={() => onAsk({ what: "delete", user })}>
          {text.users.delete}
        </ActionButton>
      </Box>
    </Box>
  );
}

/** It gives rights over everybody, so it asks; taking them away does not. */
function MakeAdmin({ user, onClose }: { user: UserAccount; onClose: () => void }) {
  const change = useChange(user, onClose);
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
