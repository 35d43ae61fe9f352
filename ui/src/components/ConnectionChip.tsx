import Box from "@mui/material/Box";

import type { Connection } from "../api/live";
import { useSilent } from "../api/silence";
import { useConnection } from "../api/sync";
import { text } from "../text/en";
import { ago } from "../util/time";
import { useNow } from "../util/useNow";
import { toneVar, type Tone } from "./status";

function say(connection: Connection, now: number): { tone: Tone; label: string; hint: string } {
  const heard = connection.heardAt ? text.connection.lastHeard(ago(new Date(connection.heardAt).toISOString(), now)) : "";
  if (connection.state === "live") return { tone: "success", label: text.connection.live, hint: text.connection.liveHint };
  if (connection.failures >= 3) return { tone: "warning", label: text.connection.reconnecting, hint: `${text.connection.pollingHint} ${heard}` };
  if (connection.state === "reconnecting") return { tone: "warning", label: text.connection.reconnecting, hint: heard };
  return { tone: "neutral", label: text.connection.connecting, hint: text.connection.connecting };
}

/** A phone shows the dot alone while all is well; a screen reader says the word. */
const ONLY_SPOKEN_ON_PHONES = { "@media (max-width: 599px)": { position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)" } } as const;

export function ConnectionChip() {
  const connection = useConnection();
  const now = useNow(connection.state === "live" ? 0 : 1000);
  const silent = useSilent();
  // A socket that says nothing is not called live; `data-connection` is the socket's own state.
  const { tone, label, hint } = say(silent && connection.state === "live" ? { ...connection, state: "reconnecting" } : connection, now);
  const color = toneVar(tone);
  return (
      <Box
        role="status"
        title={hint}
        data-connection={connection.state}
        sx={{ display: "inline-flex", alignItems: "center", gap: 1, fontSize: "0.8125rem", fontWeight: 560, color, whiteSpace: "nowrap", px: 0.5 }}
      >
        <Box
          component="span"
          aria-hidden
          sx={{ width: 8, height: 8, flexShrink: 0, borderRadius: 99, forcedColorAdjust: "none", backgroundColor: color, boxShadow: `0 0 0 3px color-mix(in srgb, ${color} 22%, transparent)` }}
        />
        <Box component="span" sx={tone === "success" ? ONLY_SPOKEN_ON_PHONES : undefined}>
          {label}
        </Box>
      </Box>
  );
}
