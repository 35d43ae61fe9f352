import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";

import { BAR_HEIGHT } from "../theme/theme";

/** What can be done with the selection; it stays in sight while the list scrolls. */
export function BulkBar({ label, children, actions }: { label: string; children: ReactNode; actions: ReactNode }) {
  return (
    <Box
      role="region"
      aria-label={label}
      sx={{
        position: "sticky",
        bottom: { xs: `calc(${BAR_HEIGHT + 8}px + env(safe-area-inset-bottom))`, md: 16 },
        zIndex: 5,
        mt: 2,
        display: "flex",
        flexWrap: "wrap",
        alignItems: "center",
        gap: 1.25,
        px: 2,
        py: 1.25,
        border: 1,
        borderColor: "primary.main",
        borderRadius: "12px",
        backgroundColor: "background.paper",
        boxShadow: "0 6px 24px rgb(0 0 0 / 0.16)",
      }}
    >
      <Typography component="div" variant="body2" sx={{ flex: "1 1 160px", fontWeight: 600 }}>
        {children}
      </Typography>
      <Box sx={{ display: "flex", flexWrap: "wrap", gap: 1 }}>{actions}</Box>
    </Box>
  );
}
