import Box from "@mui/material/Box";
import Drawer from "@mui/material/Drawer";
import Typography from "@mui/material/Typography";
import { NavLink } from "react-router";

import { text } from "../text/en";
import type { Destination } from "./destinations";

/** A phone's list of the pages that have no place in the bar. */
export default function MoreSheet({ items, onClose }: { items: Destination[]; onClose: () => void }) {
  return (
    <Drawer
      open
      anchor="bottom"
      onClose={onClose}
      slotProps={{ paper: { role: "dialog", "aria-modal": true, "aria-labelledby": "more-title", sx: { borderRadius: "16px 16px 0 0", p: 2, pb: "calc(16px + env(safe-area-inset-bottom))" } } }}
    >
      <Typography variant="h2" id="more-title" sx={{ px: 1.5, pb: 1 }}>
        {text.nav.more}
      </Typography>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, overflowY: "auto" }}>
        {items.map((item) => (
          <li key={item.to}>
            <Box
              component={NavLink}
              to={item.to}
              onClick={onClose}
              sx={{ display: "flex", alignItems: "center", gap: 2, minHeight: 48, px: 1.5, borderRadius: "8px", color: "text.primary", textDecoration: "none", fontWeight: 560, "&.active": { color: "primary.main" } }}
            >
              <item.icon size={20} aria-hidden />
              {item.label}
            </Box>
          </li>
        ))}
      </Box>
    </Drawer>
  );
}
