import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { Ellipsis } from "lucide-react";
import { Fragment, lazy, type ReactNode, Suspense, useState } from "react";
import { NavLink, useLocation } from "react-router";

import { queries, useFailed, useTasks } from "../api/queries";
import { usePolling } from "../api/sync";
import type { User } from "../api/types";
import { text } from "../text/en";
import { BAR_HEIGHT, RAIL_WIDTH } from "../theme/theme";
import { paths } from "../util/paths";
import { count } from "../util/units";
import { barAndMore, type Destination, destinations } from "./destinations";
import { Logo } from "./Logo";

const MoreSheet = lazy(() => import("./MoreSheet"));

/** Jobs that have not ended, for the badge beside "Queue". */
function useLiveCount(): number {
  const polling = usePolling();
  const queue = useQuery({ ...queries.queue(), refetchInterval: polling }).data;
  const { tasks } = useTasks(polling);
  return tasks.length + (queue ? queue.active_jobs.length + queue.queued_jobs.length + queue.waiting_upload_jobs.length : 0);
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
  const items = destinations(user);
  const live = useLiveCount();
  const failed = useFailed();
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
        overflowY: "auto",
        borderInlineEnd: 1,
        borderColor: "divider",
        backgroundColor: "background.paper",
      }}
    >
      <Box sx={{ height: BAR_HEIGHT, flexShrink: 0, display: "flex", alignItems: "center", px: 1, mb: 1 }}>
        <Logo size={30} />
      </Box>
      {items.map((item, index) => (
        <Fragment key={item.to}>
          {item.group === "admin" && items[index - 1]?.group !== "admin" && (
            <Typography component="p" variant="caption" sx={{ px: 1.5, pt: 2, pb: 0.5, fontWeight: 600, color: "text.secondary" }}>
              {text.nav.admin}
            </Typography>
          )}
          <Box component={NavLink} to={item.to} sx={linkLook}>
            <item.icon size={19} aria-hidden />
            <Box component="span" sx={{ flex: 1 }}>
              {item.label}
            </Box>
            {item.to === paths.queue() && live > 0 && (
              <Typography component="span" variant="caption" sx={{ fontWeight: 650, px: 0.9, borderRadius: 99, backgroundColor: "background.raised", color: "text.primary" }}>
                {count(live)}
              </Typography>
            )}
            {item.to === paths.history() && failed && (
              <Typography component="span" variant="caption" data-failed={failed} sx={{ fontWeight: 650, px: 0.9, borderRadius: 99, border: 1, borderColor: "error.main", color: "error.main", whiteSpace: "nowrap" }}>
                {text.nav.failed(failed)}
              </Typography>
            )}
          </Box>
        </Fragment>
      ))}
    </Box>
  );
}

const barLook = {
  display: "grid",
  justifyItems: "center",
  alignContent: "center",
  gap: 0.25,
  height: BAR_HEIGHT,
  p: 0,
  border: 0,
  background: "none",
  fontFamily: "inherit",
  fontSize: "0.6875rem",
  fontWeight: 580,
  color: "text.secondary",
  textDecoration: "none",
  overflow: "hidden",
  textAlign: "center",
  lineHeight: 1.15,
  "&.active": { color: "primary.main", ...CHOSEN },
} as const;

const DOT = { position: "absolute", top: -3, insetInlineEnd: 11, width: 9, height: 9, borderRadius: 99, border: "2px solid var(--mui-palette-background-paper)", boxSizing: "content-box" } as const;
const FIGURE = { position: "absolute", top: -6, insetInlineStart: 28, px: 0.5, minWidth: 16, borderRadius: 99, fontSize: "0.625rem", fontWeight: 700, lineHeight: "15px", backgroundColor: "error.main", color: "background.paper" } as const;

function BarItem({ item, badge, failed = null }: { item: Destination; badge: boolean; failed?: string | null }) {
  return (
    <Box component={NavLink} to={item.to} sx={barLook}>
      <Box component="span" sx={{ position: "relative", display: "inline-flex", px: 2 }}>
        <item.icon size={20} aria-hidden />
        {badge && <Box component="span" aria-hidden sx={{ ...DOT, backgroundColor: "primary.main" }} />}
        {failed && (
          <>
            <Box component="span" aria-hidden data-failed={failed} sx={FIGURE}>
              {failed}
            </Box>
            <Box component="span" sx={{ position: "absolute", insetInlineStart: 0, width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)" }}>
              {text.nav.failed(failed)}
            </Box>
          </>
        )}
      </Box>
      {item.label}
    </Box>
  );
}

/** What has no place in the bar; when that is one page only, the page itself. */
function More({ items }: { items: Destination[] }): ReactNode {
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  const only = items.length === 1 ? items[0] : undefined;
  if (only) return <BarItem item={only} badge={false} />;
  return (
    <>
      <Box
        component="button"
        type="button"
        aria-haspopup="dialog"
        aria-expanded={open}
        className={items.some((item) => pathname.startsWith(item.to)) ? "active" : undefined}
        onClick={() => setOpen(true)}
        sx={barLook}
      >
        <Ellipsis size={20} aria-hidden />
        {text.nav.more}
      </Box>
      <Suspense fallback={null}>{open && <MoreSheet items={items} onClose={() => setOpen(false)} />}</Suspense>
    </>
  );
}

export function BottomBar({ user }: { user: User }) {
  const { bar, more } = barAndMore(user);
  const live = useLiveCount();
  const failed = useFailed();
  return (
    <Box
      component="nav"
      aria-label={text.nav.main}
      sx={{
        display: { xs: "grid", md: "none" },
        gridTemplateColumns: `repeat(${bar.length + 1}, minmax(0, 1fr))`,
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
      {bar.map((item) => (
        <BarItem key={item.to} item={item} badge={item.to === paths.queue() && live > 0} failed={item.to === paths.history() ? failed : null} />
      ))}
      <More items={more} />
    </Box>
  );
}
