import Box from "@mui/material/Box";

import { text } from "../text/en";

/** A chunk that is gone after an update, or a bug of ours: say so instead of a white page. Part of the entry, so it needs little. */
export function Crash() {
  return (
    <Box component="main" sx={{ p: 3, maxWidth: 640, mx: "auto", mt: 6 }}>
      <Box component="h1" sx={{ fontSize: "1.5rem" }}>
        {text.error.crashTitle}
      </Box>
      <p>{text.error.crashText}</p>
      <button type="button" onClick={() => window.location.reload()}>
        {text.action.reload}
      </button>
    </Box>
  );
}
