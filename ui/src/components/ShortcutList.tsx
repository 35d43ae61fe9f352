import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Dialog from "@mui/material/Dialog";
import DialogActions from "@mui/material/DialogActions";
import DialogContent from "@mui/material/DialogContent";
import DialogTitle from "@mui/material/DialogTitle";
import Typography from "@mui/material/Typography";

import { text } from "../text/en";
import { paletteText } from "../text/enPalette";

const LIST: [string, string][] = [
  ["Ctrl K", paletteText.keys.palette],
  ["/", paletteText.keys.search],
  ["g d", paletteText.keys.goto(text.nav.dashboard)],
  ["g f", paletteText.keys.goto(text.nav.folders)],
  ["g w", paletteText.keys.goto(text.nav.files)],
  ["g q", paletteText.keys.goto(text.nav.queue)],
  ["g h", paletteText.keys.goto(text.nav.history)],
  ["g s", paletteText.keys.goto(text.nav.settings)],
  ["j k ↑ ↓", paletteText.keys.next],
  ["x", paletteText.keys.select],
  ["X", paletteText.keys.range],
  ["o", paletteText.keys.open],
  ["a", paletteText.keys.archive],
  ["r", paletteText.keys.refresh],
  ["Esc", paletteText.keys.escape],
  ["?", paletteText.keys.help],
];

export default function ShortcutList({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="xs" aria-labelledby="keys-title">
      <DialogTitle id="keys-title" component="h2">
        {paletteText.keys.title}
      </DialogTitle>
      <DialogContent>
        <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "auto 1fr", columnGap: 2.5, rowGap: 1 }}>
          {LIST.map(([keys, meaning]) => (
            <Box key={keys} sx={{ display: "contents" }}>
              <Box component="dt" sx={{ display: "flex", gap: 0.5 }}>
                {keys.split(" ").map((key) => (
                  <Box key={key} component="kbd" sx={{ fontFamily: "inherit", fontSize: "0.8125rem", fontWeight: 600, border: 1, borderColor: "divider", borderRadius: "6px", px: 0.9, backgroundColor: "background.raised" }}>
                    {key}
                  </Box>
                ))}
              </Box>
              <Typography component="dd" variant="body2" sx={{ m: 0 }}>
                {meaning}
              </Typography>
            </Box>
          ))}
        </Box>
      </DialogContent>
      <DialogActions>
        <Button onClick={onClose} autoFocus>
          {text.action.close}
        </Button>
      </DialogActions>
    </Dialog>
  );
}
