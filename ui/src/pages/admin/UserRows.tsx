import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import Typography from "@mui/material/Typography";
import { Ban, HardDrive, KeyRound, ShieldCheck, ShieldOff, Trash2, UserRound } from "lucide-react";

import type { UserAccount } from "../../api/generated";
import { ActionButton } from "../../components/ActionButton";
import { text } from "../../text/en";
import { usersText } from "../../text/enUsers";
import { ago, day, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";
import { useWide } from "../../util/useWide";
import { useChangeUser } from "./useChangeUser";

/** What an administrator is asked about one user before it happens. */
export type UserQuestion = { what: "password" | "quota" | "admin" | "delete"; user: UserAccount };

interface Props {
  users: UserAccount[];
  /** The id of the administrator's own account. */
  own: string;
  onAsk: (asked: UserQuestion) => void;
}

interface OneUser {
  user: UserAccount;
  isOwn: boolean;
  onAsk: Props["onAsk"];
}

/** All users: a table where it fits beside the rail, cards on a phone. */
export function UserRows({ users, own, onAsk }: Props) {
  const wide = useWide();
  const rows = users.map((user) => ({ user, isOwn: user.id === own, onAsk }));
  if (!wide) {
    return (
      <Card component="ul" aria-label={text.users.title} sx={{ listStyle: "none", m: 0, p: 0 }}>
        {rows.map((row) => (
          <UserCard key={row.user.id} {...row} />
        ))}
      </Card>
    );
  }
  return (
    <Card>
      <Table aria-label={text.users.title} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <TableCell>{usersText.user}</TableCell>
            <TableCell sx={{ width: 130 }}>{usersText.created}</TableCell>
            <TableCell sx={{ width: 140 }}>{usersText.lastLogin}</TableCell>
            <TableCell sx={{ width: 400 }}>{usersText.actions}</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {rows.map((row) => (
            <UserLine key={row.user.id} {...row} />
          ))}
        </TableBody>
      </Table>
    </Card>
  );
}

function UserLine({ user, isOwn, onAsk }: OneUser) {
  const now = useNow(60_000);
  return (
    <TableRow data-user={user.username}>
      <TableCell>
        <Who user={user} isOwn={isOwn} />
      </TableCell>
      <TableCell data-column="created" title={exactTime(user.created_at)}>
        {day(user.created_at)}
      </TableCell>
      <TableCell data-column="last-login" title={user.last_login ? exactTime(user.last_login) : undefined}>
        {user.last_login ? ago(user.last_login, now) : usersText.never}
      </TableCell>
      <TableCell>
        <Actions user={user} isOwn={isOwn} onAsk={onAsk} />
      </TableCell>
    </TableRow>
  );
}

function UserCard({ user, isOwn, onAsk }: OneUser) {
  const now = useNow(60_000);
  return (
    <Box component="li" data-user={user.username} sx={{ display: "grid", gap: 1.25, px: 2, py: 1.5, "& + &": { borderTop: 1, borderColor: "divider" } }}>
      <Who user={user} isOwn={isOwn} />
      <Box component="dl" sx={{ display: "grid", gridTemplateColumns: "auto minmax(0, 1fr)", columnGap: 2, rowGap: 0.25, m: 0, typography: "body2", "& dt": { color: "text.secondary" }, "& dd": { m: 0 } }}>
        <dt>{usersText.created}</dt>
        <dd data-column="created">{day(user.created_at)}</dd>
        <dt>{usersText.lastLogin}</dt>
        <dd data-column="last-login">{user.last_login ? ago(user.last_login, now) : usersText.never}</dd>
      </Box>
      <Actions user={user} isOwn={isOwn} onAsk={onAsk} />
    </Box>
  );
}

function Who({ user, isOwn }: Pick<OneUser, "user" | "isOwn">) {
  const Icon = user.disabled_at ? Ban : user.is_admin ? ShieldCheck : UserRound;
  return (
    <Box sx={{ display: "flex", alignItems: "center", gap: 1.5 }}>
      <Box sx={{ color: user.disabled_at ? "text.secondary" : "primary.main", display: "flex" }}>
        <Icon size={22} aria-hidden />
      </Box>
      <Box sx={{ minWidth: 0 }}>
        <Typography sx={{ fontWeight: 600, overflowWrap: "anywhere" }}>
          {user.username}
          {isOwn && (
            <Typography component="span" variant="caption" sx={{ ml: 1, color: "text.secondary" }}>
              {text.users.you}
            </Typography>
          )}
        </Typography>
        <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
          {[
            user.is_admin ? text.settings.admin : text.settings.member,
            user.disabled_at ? text.users.disabled : null,
            user.must_change_password ? text.users.mustChange : null,
            user.quota_bytes === null ? usersText.usualQuota : usersText.quotaOf(user.quota_bytes),
          ]
            .filter(Boolean)
            .join(" · ")}
        </Typography>
      </Box>
    </Box>
  );
}

function Actions({ user, isOwn, onAsk }: OneUser) {
  const change = useChangeUser(user);
  const notOwn = isOwn ? text.users.notOwn : undefined;
  return (
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
  );
}
