import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";

import { text } from "../text/en";
import { Logo } from "./Logo";

/** The frame of the pages before the shell. */
export function AuthFrame({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Box
      component="main"
      sx={{
        minHeight: "100dvh",
        display: "grid",
        alignContent: "center",
        justifyItems: "center",
        gap: 3,
        p: 2,
        backgroundImage: "radial-gradient(60rem 36rem at 50% -10%, color-mix(in srgb, var(--mui-palette-primary-main) 14%, transparent), transparent)",
      }}
    >
      <title>{text.app.title(title, null)}</title>
      <Logo size={42} />
      <Card sx={{ width: "100%", maxWidth: 400, p: { xs: 2.5, sm: 4 }, borderRadius: "16px" }}>
        <Typography variant="h1" id="page-title" tabIndex={-1} sx={{ mb: 2.5 }}>
          {title}
        </Typography>
        {children}
      </Card>
      <Typography variant="caption" sx={{ color: "text.secondary", textAlign: "center" }}>
        {text.app.claim}
      </Typography>
    </Box>
  );
}
