import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import { text } from "../../text/en";

/** What the last scan could not look into: a folder that is missing here must not look as if it were gone. */
export function Unreadable() {
  const places = useQuery(queries.system()).data?.last_scan?.unreadable ?? [];
  if (places.length === 0) return null;
  return (
    <Alert severity="warning" sx={{ mb: 2 }}>
      {text.folders.unreadable(places.length)}
      <Box component="details" sx={{ mt: 0.5 }}>
        <Box component="summary" sx={{ cursor: "pointer", minHeight: 24, "@media (pointer: coarse)": { lineHeight: "44px" } }}>
          {text.folders.unreadableMore}
        </Box>
        <Box component="ul" sx={{ m: 0, pl: 2.5, maxHeight: 200, overflowY: "auto" }}>
          {places.map((place) => (
            <li key={place.path}>
              {place.path}: {place.reason}
            </li>
          ))}
        </Box>
      </Box>
    </Alert>
  );
}
