import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import IconButton from "@mui/material/IconButton";
import { X } from "lucide-react";

import { text } from "../text/en";
import { ActionButton } from "./ActionButton";
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
      {shown.map(({ id, message, severity, undo, actions }) => (
        <Alert
          key={id}
          severity={severity}
          variant="filled"
          role="presentation"
          action={
            <>
              {[...actions, ...(undo ? [{ label: text.action.undo, run: undo }] : [])].map(({ label, run }) => (
                <ActionButton
                  key={label}
                  color="inherit"
                  size="small"
                  onClick={() => {
                    dismiss(id);
                    void run();
                  }}
                >
                  {label}
                </ActionButton>
              ))}
              <IconButton color="inherit" size="small" aria-label={text.action.close} onClick={() => dismiss(id)}>
                <X size={16} aria-hidden />
              </IconButton>
            </>
          }
          sx={{ boxShadow: "0 6px 24px rgb(0 0 0 / 0.25)" }}
        >
          {message}
        </Alert>
      ))}
    </Box>
  );
}
