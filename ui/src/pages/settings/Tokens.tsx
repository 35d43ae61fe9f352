import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { lazy, Suspense, useState } from "react";

import { api, ask } from "../../api/client";
import { keys, queries } from "../../api/queries";
import type { Token, User } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { Section } from "../../components/Section";
import { ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { adminText } from "../../text/enAdmin";
import { ago, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";

const TokenDialog = lazy(() => import("./TokenDialog"));
const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));

/** One's own tokens for scripts. Their texts are shown nowhere: the gateway does not have them. */
export default function Tokens({ user }: { user: User }) {
  const tokens = useQuery(queries.tokens());
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  return (
    <Section
      title={adminText.tokens.title}
      hint={adminText.tokens.hint}
      action={
        <ActionButton variant="outlined" startIcon={<Plus size={16} aria-hidden />} onClick={() => setCreating(true)}>
          {adminText.tokens.create}
        </ActionButton>
      }
    >
      <StaleNote query={tokens} />
      {tokens.error && !tokens.data && <ErrorPanel error={tokens.error} onRetry={() => tokens.refetch()} />}
      {!tokens.error && !tokens.data && <SkeletonRows rows={2} height={56} />}
      {tokens.data?.length === 0 && (
        <Typography variant="body2" sx={{ color: "text.secondary" }}>
          {adminText.tokens.none}
        </Typography>
      )}
      {tokens.data && tokens.data.length > 0 && (
        <Box component="ul" aria-label={adminText.tokens.title} sx={{ listStyle: "none", m: 0, p: 0 }}>
          {tokens.data.map((token) => (
            <Row key={token.id} token={token} onRevoke={() => setRevoking(token)} />
          ))}
        </Box>
      )}
      <Suspense fallback={null}>
        {creating && <TokenDialog isAdmin={user.is_admin} onClose={() => setCreating(false)} />}
        {revoking && <Revoke token={revoking} onClose={() => setRevoking(null)} />}
      </Suspense>
    </Section>
  );
}

function end(token: Token, now: number): string {
  if (!token.expires_at) return adminText.tokens.endsNever;
  const when = ago(token.expires_at, now);
  return new Date(token.expires_at).getTime() <= now ? adminText.tokens.expired(when) : adminText.tokens.ends(when);
}

function Row({ token, onRevoke }: { token: Token; onRevoke: () => void }) {
  const now = useNow(60_000);
  return (
    <Box component="li" data-token={token.name} sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.5, py: 1.25, "& + &": { borderTop: 1, borderColor: "divider" } }}>
      <Box sx={{ color: "primary.main", display: "flex" }}>
        <KeyRound size={19} aria-hidden />
      </Box>
      <Box sx={{ flex: "1 1 220px", minWidth: 0 }}>
        <Typography sx={{ fontWeight: 580 }}>{token.name}</Typography>
        <Typography variant="caption" component="p" title={exactTime(token.last_used_at ?? token.created_at)} sx={{ color: "text.secondary" }}>
          {[
            adminText.tokens.scopes[token.scope],
            adminText.tokens.made(ago(token.created_at, now)),
            token.last_used_at ? adminText.tokens.used(ago(token.last_used_at, now)) : adminText.tokens.unused,
            end(token, now),
          ].join(" · ")}
        </Typography>
      </Box>
      <ActionButton size="small" variant="outlined" color="error" aria-label={adminText.tokens.revokeOne(token.name)} onClick={onRevoke}>
        {adminText.tokens.revoke}
      </ActionButton>
    </Box>
  );
}

function Revoke({ token, onClose }: { token: Token; onClose: () => void }) {
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => ask(api.DELETE("/api/tokens/{token_id}", { params: { path: { token_id: token.id } } })),
    onSuccess: () => {
      toast(adminText.tokens.revoked(token.name));
      onClose();
    },
    onSettled: () => client.invalidateQueries({ queryKey: keys.tokens }),
  });
  return (
    <ConfirmDialog
      title={adminText.tokens.revokeTitle(token.name)}
      effects={[adminText.tokens.revokeText]}
      confirm={adminText.tokens.revokeConfirm}
      busy={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
    />
  );
}
