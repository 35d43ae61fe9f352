import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import IconButton from "@mui/material/IconButton";
import { useColorScheme } from "@mui/material/styles";
import { useQuery } from "@tanstack/react-query";
import { CircleUserRound, HardDrive, LogOut, Moon, Search, Sun } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link } from "react-router";

import { logOut } from "../api/logOut";
import { queries } from "../api/queries";
import type { User } from "../api/types";
import { text } from "../text/en";
import { setPreference } from "../theme/preferences";
import { BAR_HEIGHT } from "../theme/theme";
import { paths } from "../util/paths";
import { bytes, GB } from "../util/units";
import { ConnectionChip } from "./ConnectionChip";
import { Logo } from "./Logo";

const AccountMenu = lazy(() => import("./AccountMenu"));

interface Props {
  user: User;
  onSearch: () => void;
  onKeys: () => void;
}

export function useSchemeSwitch() {
  const { colorScheme } = useColorScheme();
  const dark = colorScheme === "dark";
  return { dark, label: dark ? text.nav.toLight : text.nav.toDark, flip: () => setPreference("scheme", dark ? "light" : "dark") };
}

export function TopBar({ user, onSearch, onKeys }: Props) {
  const scheme = useSchemeSwitch();
  return (
    <Box
      component="header"
      sx={{
        position: "sticky",
        top: 0,
        zIndex: "appBar",
        height: BAR_HEIGHT,
        display: "flex",
        alignItems: "center",
        gap: { xs: 0.5, sm: 1.5 },
        px: { xs: 1.5, sm: 3 },
        borderBottom: 1,
        borderColor: "divider",
        backgroundColor: "background.paper",
      }}
    >
      <Box sx={{ display: { xs: "flex", md: "none" } }}>
        <Logo size={28} label={false} />
      </Box>
      <Button
        onClick={onSearch}
        variant="outlined"
        startIcon={<Search size={16} aria-hidden />}
        sx={{ display: { xs: "none", sm: "inline-flex" }, color: "text.secondary", fontWeight: 450, width: 280, justifyContent: "flex-start", backgroundColor: "background.default" }}
      >
        <Box component="span" sx={{ flex: 1, textAlign: "start" }}>
          {text.nav.searchShort}
        </Box>
        <Box component="kbd" aria-hidden sx={{ fontFamily: "inherit", fontSize: "0.75rem", border: 1, borderColor: "divider", borderRadius: "5px", px: 0.75 }}>
          Ctrl K
        </Box>
      </Button>
      <Box sx={{ flex: 1 }} />
      <DiskGauge />
      <ConnectionChip />
      <IconButton aria-label={text.nav.search} onClick={onSearch} sx={{ display: { sm: "none" } }}>
        <Search size={19} aria-hidden />
      </IconButton>
      <IconButton aria-label={scheme.label} title={scheme.label} onClick={scheme.flip}>
        {scheme.dark ? <Sun size={19} aria-hidden /> : <Moon size={19} aria-hidden />}
      </IconButton>
      <Account user={user} onKeys={onKeys} />
    </Box>
  );
}

function DiskGauge() {
  const disk = useQuery(queries.system()).data?.disk_space;
  if (!disk) return null;
  const hint = text.disk.hint(bytes(disk.used_gb * GB), bytes(disk.free_gb * GB), bytes(disk.total_gb * GB));
  return (
      <Box
        component={Link}
        to={paths.dashboard()}
        title={disk.low ? `${text.disk.low} ${hint}` : hint}
        sx={{
          display: { xs: "none", sm: "inline-flex" },
          alignItems: "center",
          gap: 0.75,
          minHeight: 32,
          fontSize: "0.8125rem",
          fontWeight: 560,
          whiteSpace: "nowrap",
          textDecoration: "none",
          color: disk.low ? "warning.main" : "text.secondary",
        }}
      >
        <HardDrive size={16} aria-hidden />
        {text.disk.free(bytes(disk.free_gb * GB))}
      </Box>
  );
}

const barButton = { minWidth: 0, flexShrink: 0, minHeight: 40, px: 1, gap: 0.75, whiteSpace: "nowrap", color: "text.secondary", "@media (pointer: coarse)": { minHeight: 44 } } as const;

function Account({ user, onKeys }: { user: User; onKeys: () => void }) {
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  return (
    <>
      <Button
        aria-label={text.nav.account(user.username)}
        aria-haspopup="menu"
        aria-expanded={anchor !== null}
        title={user.username}
        onClick={(event) => setAnchor(event.currentTarget)}
        sx={barButton}
      >
        <CircleUserRound size={20} aria-hidden style={{ flexShrink: 0 }} />
        <Box component="span" sx={{ overflow: "hidden", textOverflow: "ellipsis", maxWidth: { xs: 84, sm: 160 }, "@media (max-width: 359px)": { display: "none" } }}>
          {user.username}
        </Box>
      </Button>
      <Button aria-label={text.nav.logout} title={text.nav.logout} onClick={() => void logOut()} sx={barButton}>
        <LogOut size={18} aria-hidden />
        <Box component="span" sx={{ display: { xs: "none", sm: "inline" } }}>
          {text.nav.logout}
        </Box>
      </Button>
      <Suspense fallback={null}>{anchor && <AccountMenu user={user} anchor={anchor} onKeys={onKeys} onClose={() => setAnchor(null)} />}</Suspense>
    </>
  );
}
