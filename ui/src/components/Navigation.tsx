import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { FolderOpen, Gauge, History, ListOrdered, type LucideIcon, Settings, Users } from "lucide-react";
import { NavLink } from "react-router";

import { queries } from "../api/queries";
import { usePolling } from "../api/sync";
import type { User } from "../api/types";
import { text } from "../text/en";
import { BAR_HEIGHT, RAIL_WIDTH } from "../theme/theme";
import { paths } from "../util/paths";
import { count } from "../util/units";
import { Logo } from "./Logo";

interface Item {
  to: string;
  label: string;
  icon: LucideIcon;
  badge?: number;
}

/** Jobs that have not ended, for the badge beside "Queue". */
function useLiveCount(): number {
  const queue = useQuery({ ...queries.queue(), refetchInterval: usePolling() }).data;
  return queue ? queue.active_jobs.length + queue.queued_jobs.length + queue.waiting_upload_jobs.length : 0;
}

function useItems(user: User, phone: boolean): Item[] {
  const live = useLiveCount();
  return [
    { to: paths.dashboard(), label: text.nav.dashboard, icon: Gauge },
    { to: paths.folders(), label: text.nav.folders, icon: FolderOpen },
    { to: paths.queue(), label: text.nav.queue, icon: ListOrdered, badge: live },
    { to: paths.history(), label: text.nav.history, icon: History },
    { to: paths.settings(), label: text.nav.settings, icon: Settings },
    // A phone's bar has room for five; there the settings lead on.
    ...(user.is_admin && !phone ? [{ to: paths.adminUsers(), label: text.nav.users, icon: Users }] : []),
  ];
}

/** Where the system chooses the colours, a tinted ground is none. */
const CHOSEN = { "@media (forced-colors: active)": { border: "2px solid Highlight" } } as const;

const linkLook = {
  display: "flex",
  alignItems: "center",
  gap: 1.5,
  px: 1.5,
  minHeight: 40,
  borderRadius: "8px",
  color: "text.secondary",
  textDecoration: "none",
  fontWeight: 560,
  fontSize: "0.9375rem",
  "&:hover": { backgroundColor: "action.hover", color: "text.primary" },
  "&.active": { color: "primary.main", backgroundColor: "color-mix(in srgb, var(--mui-palette-primary-main) 11%, transparent)", ...CHOSEN },
} as const;

export function Rail({ user }: { user: User }) {
  const items = useItems(user, false);
  return (
    <Box
      component="nav"
      aria-label={text.nav.main}
      sx={{
        display: { xs: "none", md: "flex" },
        position: "fixed",
        insetBlock: 0,
        insetInlineStart: 0,
        width: RAIL_WIDTH,
        flexDirection: "column",
        gap: 0.5,
        px: 1.5,
        pb: 2,
        borderInlineEnd: 1,
        borderColor: "divider",
        backgroundColor: "background.paper",
      }}
    >
      <Box sx={{ height: BAR_HEIGHT, display: "flex", alignItems: "center", px: 1, mb: 1 }}>
        <Logo size={30} />
      </Box>
      {items.map((item) => (
        <Box key={item.to} component={NavLink} to={item.to} sx={linkLook}>
          <item.icon size={19} aria-hidden />
          <Box component="span" sx={{ flex: 1 }}>
            {item.label}
          </Box>
          {Boolean(item.badge) && (
            <Typography component="span" variant="caption" sx={{ fontWeight: 650, px: 0.9, borderRadius: 99, backgroundColor: "background.raised", color: "text.primary" }}>
              {count(item.badge ?? 0)}
            </Typography>
          )}
        </Box>
      ))}
    </Box>
  );
}

export function BottomBar({ user }: { user: User }) {
  const items = useItems(user, true);
  return (
    <Box
      component="nav"
      aria-label={text.nav.main}
      sx={{
        display: { xs: "grid", md: "none" },
        gridTemplateColumns: `repeat(${items.length}, minmax(0, 1fr))`,
        position: "fixed",
        insetInline: 0,
        bottom: 0,
        zIndex: "appBar",
        borderTop: 1,
        borderColor: "divider",
        backgroundColor: "background.paper",
        paddingBottom: "env(safe-area-inset-bottom)",
      }}
    >
      {items.map((item) => (
        <Box
          key={item.to}
          component={NavLink}
          to={item.to}
          sx={{
            display: "grid",
            justifyItems: "center",
            alignContent: "center",
            gap: 0.25,
            height: BAR_HEIGHT,
            fontSize: "0.6875rem",
            fontWeight: 580,
            color: "text.secondary",
            textDecoration: "none",
            overflow: "hidden",
            textAlign: "center",
            lineHeight: 1.15,
            "&.active": { color: "primary.main", ...CHOSEN },
          }}
        >
          <Box component="span" sx={{ position: "relative", display: "inline-flex" }}>
            <item.icon size={20} aria-hidden />
            {Boolean(item.badge) && <Box component="span" aria-hidden sx={{ position: "absolute", top: -3, insetInlineEnd: -5, width: 9, height: 9, borderRadius: 99, backgroundColor: "primary.main", border: "2px solid var(--mui-palette-background-paper)", boxSizing: "content-box" }} />}
          </Box>
          {item.label}
        </Box>
      ))}
    </Box>
  );
}
