import Box from "@mui/material/Box";
import { Archive } from "lucide-react";

import { text } from "../text/en";

export function Logo({ size = 32, label = true }: { size?: number; label?: boolean }) {
  return (
    <Box component="span" sx={{ display: "inline-flex", alignItems: "center", gap: 1.25, fontWeight: 680, fontSize: size * 0.5, letterSpacing: "-0.015em", color: "text.primary" }}>
      <Box
        component="span"
        sx={{ display: "grid", placeItems: "center", width: size, height: size, borderRadius: `${size / 4}px`, backgroundColor: "primary.main", color: "primary.contrastText" }}
      >
        <Archive size={size * 0.58} aria-hidden strokeWidth={2.1} />
      </Box>
      {label && text.app.name}
    </Box>
  );
}
