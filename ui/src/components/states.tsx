/** The states every page has: loading, empty, failed. */
import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Skeleton from "@mui/material/Skeleton";
import Typography from "@mui/material/Typography";
import type { LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

import { ApiError } from "../api/errors";
import { text } from "../text/en";
import { ago } from "../util/time";
import { useNow } from "../util/useNow";

export function EmptyState({ icon: Icon, title, children, action }: { icon: LucideIcon; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <Box sx={{ display: "grid", justifyItems: "center", textAlign: "center", gap: 1, px: 3, py: { xs: 5, md: 7 } }}>
      <Box
        sx={{ display: "grid", placeItems: "center", width: 52, height: 52, borderRadius: "14px", backgroundColor: "background.raised", color: "text.secondary", mb: 0.5 }}
      >
        <Icon size={26} aria-hidden strokeWidth={1.75} />
      </Box>
      <Typography component="p" variant="h3">
        {title}
      </Typography>
      {children && (
        <Typography variant="body2" sx={{ color: "text.secondary", maxWidth: "52ch" }}>
          {children}
        </Typography>
      )}
      {action && <Box sx={{ mt: 1 }}>{action}</Box>}
    </Box>
  );
}

/** What failed, what to quote, and a way to try again. */
export function ErrorPanel({ error, onRetry, title = text.error.title }: { error: Error; onRetry?: () => void; title?: string }) {
  return (
    <Alert
      severity="error"
      role="alert"
      action={
        onRetry && (
          <Button color="inherit" size="small" onClick={onRetry}>
            {text.action.retry}
          </Button>
        )
      }
    >
      <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.9375rem" }}>
        {title}
      </Typography>
      {error.message}
      {error instanceof ApiError && error.requestId && (
        <Typography component="p" variant="caption" sx={{ opacity: 0.85 }}>
          {text.error.requestId(error.requestId)}
        </Typography>
      )}
    </Alert>
  );
}

/** Old data stay on the page with their age when reading them again failed. */
export function StaleNote({ query }: { query: { error: Error | null; data: unknown; dataUpdatedAt: number; refetch: () => unknown } }) {
  const now = useNow(5000);
  if (!query.error || query.data === undefined) return null;
  return (
    <Alert
      severity="warning"
      sx={{ mb: 2 }}
      action={
        <Button color="inherit" size="small" onClick={() => query.refetch()}>
          {text.action.retry}
        </Button>
      }
    >
      {query.error.message} {text.error.old(ago(new Date(query.dataUpdatedAt).toISOString(), now))}
    </Alert>
  );
}

const WIDTHS = ["62%", "48%", "70%", "55%", "40%", "66%"];

/** Rows of the final height; they appear after 150 ms, so that a quick answer does not flicker. */
export function SkeletonRows({ rows = 8, height = 48 }: { rows?: number; height?: number }) {
  return (
    <Box
      aria-busy="true"
      sx={{ "@keyframes appear": { from: { opacity: 0 }, to: { opacity: 1 } }, animation: "appear 0.2s 0.15s both" }}
    >
      {Array.from({ length: rows }, (_, index) => `row-${index}`).map((key, index) => (
        <Box key={key} sx={{ height, display: "flex", alignItems: "center", px: 2, borderBottom: 1, borderColor: "divider" }}>
          <Skeleton variant="text" animation={false} width={WIDTHS[index % WIDTHS.length]} />
        </Box>
      ))}
    </Box>
  );
}
