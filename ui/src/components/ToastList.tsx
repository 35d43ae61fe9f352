import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";

import { text } from "../text/en";
import { dismiss, useToasts } from "./toasts";

/** Fetched after the first paint: nothing is said before. */
export default function ToastList() {
  const shown = useToasts();
  return (
    <Box
      role="status"
      aria-live="polite"
      sx={{ position: "fixed", zIndex: "snackbar", insetInlineEnd: 16, bottom: { xs: 76, md: 16 }, display: "grid", gap: 1, maxWidth: "min(420px, calc(100vw - 32px))" }}
    >
      {shown.map(({ id, message, severity }) => (
        <Alert
          key={id}
          severity={severity}
          variant="filled"
          role="presentation"
          onClose={() => dismiss(id)}
          slotProps={{ closeButton: { "aria-label": text.action.close } }}
          sx={{ boxShadow: "0 6px 24px rgb(0 0 0 / 0.25)" }}
        >
          {message}
        </Alert>
      ))}
    </Box>
  );
}
