/** What surrounds every page: rail or bottom bar, top bar, banners, shortcuts. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Link from "@mui/material/Link";
import { useQuery } from "@tanstack/react-query";
import { FlaskConical } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { Navigate, Outlet, useLocation } from "react-router";

import { queries, useMe } from "../api/queries";
import { useLogin } from "../api/session";
import { useSilent } from "../api/silence";
import { useConnection } from "../api/sync";
import type { User } from "../api/types";
import { text } from "../text/en";
import { BAR_HEIGHT, RAIL_WIDTH } from "../theme/theme";
import { paths } from "../util/paths";
import { ago } from "../util/time";
import { useNow } from "../util/useNow";
import { useBusy } from "./AppRouter";
import { BottomBar, Rail } from "./Navigation";
import { type Opened, useGlobalKeys } from "./shortcuts";
import { ErrorPanel } from "./states";
import { TopBar } from "./TopBar";

const Palette = lazy(() => import("./Palette"));
const FailureWatch = lazy(() => import("./FailureWatch"));
const ShortcutList = lazy(() => import("./ShortcutList"));
const LOST_AFTER_MS = 10_000;

export function Shell() {
  const login = useLogin();
  const location = useLocation();
  const me = useMe();
  const system = useQuery({ ...queries.system(), enabled: me.data?.must_change_password === false });
  if (!login) return <Navigate to={paths.login(location.pathname === "/" ? undefined : location.pathname + location.search)} replace />;
  if (me.data?.must_change_password) return <Navigate to={paths.changePassword()} replace />;
  if (me.error && !me.data) {
    return (
      <Box component="main" sx={{ p: 3, maxWidth: 640, mx: "auto" }}>
        <h1 style={{ fontSize: "1.25rem" }}>{text.app.name}</h1>
        <ErrorPanel error={me.error} onRetry={() => me.refetch()} />
      </Box>
    );
  }
  // What the banners say comes with the system's state: shown later, they would push the page down.
  return me.data && !system.isPending ? <Frame user={me.data} /> : null;
}

function Frame({ user }: { user: User }) {
  const [opened, setOpened] = useState<Opened>(null);
  useGlobalKeys(setOpened);
  useFocusOnNavigation();
  return (
    <Box sx={{ display: "flex", minHeight: "100dvh" }}>
      <Link
        href="#main"
        sx={{
          position: "fixed",
          insetInlineStart: 8,
          top: 8,
          zIndex: "tooltip",
          p: 1.5,
          backgroundColor: "background.paper",
          borderRadius: "8px",
          "&:not(:focus)": { transform: "translateY(-200%)" },
        }}
      >
        {text.app.skip}
      </Link>
      <Rail user={user} />
      <Box sx={{ flex: 1, minWidth: 0, ml: { md: `${RAIL_WIDTH}px` }, pb: { xs: `${BAR_HEIGHT + 16}px`, md: 0 } }}>
        <TopBar user={user} onSearch={() => setOpened("palette")} onKeys={() => setOpened("keys")} />
        <RouteProgress />
        <Banners />
        <Box component="main" id="main" tabIndex={-1} sx={{ px: { xs: 2, sm: 3 }, py: { xs: 2, sm: 3 }, maxWidth: 1440, mx: "auto" }}>
          <Outlet />
        </Box>
      </Box>
      <BottomBar user={user} />
      <Suspense fallback={null}>
        <FailureWatch />
        {opened === "palette" && <Palette user={user} onClose={() => setOpened(null)} onKeys={() => setOpened("keys")} />}
        {opened === "keys" && <ShortcutList onClose={() => setOpened(null)} />}
      </Suspense>
    </Box>
  );
}

/** After a navigation the focus is on the new page's title; a change of the query is no navigation. */
function useFocusOnNavigation() {
  const { pathname } = useLocation();
  const shown = useRef(pathname);
  useEffect(() => {
    if (pathname === shown.current) return;
    shown.current = pathname;
    window.scrollTo(0, 0);
    const frame = window.requestAnimationFrame(() => document.getElementById("page-title")?.focus({ preventScroll: true }));
    return () => window.cancelAnimationFrame(frame);
  }, [pathname]);
}

/** A thin line while the next page's code is fetched. */
function RouteProgress() {
  const busy = useBusy();
  return (
    <Box
      aria-hidden
      sx={{ position: "sticky", top: BAR_HEIGHT, zIndex: "appBar", height: 2, mb: "-2px", backgroundColor: "primary.main", opacity: busy ? 1 : 0, transition: "opacity 0.2s 0.15s" }}
    />
  );
}

function Banners() {
  const emulated = useQuery(queries.system()).data?.globus_emulated;
  const connection = useConnection();
  const now = useNow(connection.state === "reconnecting" ? 1000 : 0);
  const silent = useSilent();
  const lost = connection.state === "reconnecting" && connection.heardAt !== null && now - connection.heardAt > LOST_AFTER_MS;
  if (!emulated && !lost && !silent) return null;
  return (
    <Box component="section" aria-label={text.nav.notices}>
      {emulated && (
        <Box
          sx={{
            display: "flex",
            alignItems: "center",
            gap: 1,
            px: { xs: 2, sm: 3 },
            py: 0.75,
            fontSize: "0.8125rem",
            color: "warning.main",
            borderBottom: 1,
            borderColor: "divider",
            backgroundColor: "color-mix(in srgb, var(--mui-palette-warning-main) 9%, var(--mui-palette-background-paper))",
          }}
        >
          <FlaskConical size={16} aria-hidden style={{ flexShrink: 0 }} />
          <Box component="span" sx={{ display: { xs: "none", sm: "inline" } }}>
            {text.app.emulated}
          </Box>
          <Box component="span" sx={{ display: { xs: "inline", sm: "none" } }}>
            {text.app.emulatedShort}
          </Box>
        </Box>
      )}
      {(silent || lost) && (
        <Alert severity="warning" role="status" sx={{ borderRadius: 0 }}>
          {silent && text.connection.silent} {lost && connection.heardAt && text.connection.lost(ago(new Date(connection.heardAt).toISOString(), now))}
        </Alert>
      )}
    </Box>
  );
}
