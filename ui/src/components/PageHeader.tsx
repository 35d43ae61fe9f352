import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";

import { useFailed } from "../api/queries";
import { text } from "../text/en";

interface Props {
  title: string;
  subtitle?: ReactNode;
  actions?: ReactNode;
  /** Above the title: where one came from. */
  trail?: ReactNode;
}

/** The one h1 of a page. It takes the focus after a navigation, so that a screen reader says where one is. */
export function PageHeader({ title, subtitle, actions, trail }: Props) {
  return (
    <Box component="header" sx={{ mb: 2.5 }}>
      <title>{text.app.title(title, useFailed())}</title>
      {trail}
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "flex-start", justifyContent: "space-between", gap: 1.5 }}>
        <Box sx={{ minWidth: 0, flex: "1 1 280px" }}>
          <Typography variant="h1" tabIndex={-1} id="page-title">
            {title}
          </Typography>
          {subtitle && (
            <Typography component="div" variant="body2" sx={{ color: "text.secondary", mt: 0.5 }}>
              {subtitle}
            </Typography>
          )}
        </Box>
        {actions && <Box sx={{ display: "flex", flexWrap: "wrap", gap: 1 }}>{actions}</Box>}
      </Box>
    </Box>
  );
}
