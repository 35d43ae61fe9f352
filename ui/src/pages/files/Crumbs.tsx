import Box from "@mui/material/Box";
import Link from "@mui/material/Link";
import { ChevronRight } from "lucide-react";
import { Link as RouterLink } from "react-router";

import { filesText as text } from "../../text/enFiles";
import { crumbs } from "../../util/files";
import { paths } from "../../util/paths";
import type { Place } from "./offer";

const look = { display: "inline-flex", alignItems: "center", minHeight: 24, "@media (pointer: coarse)": { minHeight: 44 } } as const;

/** Where one is; every folder above is a link. */
export function Crumbs({ root, path }: Place) {
  const above = crumbs(path);
  const at = root === "nas" ? root : undefined;
  return (
    <Box component="nav" aria-label={text.crumbs}>
      <Box component="ol" sx={{ listStyle: "none", m: 0, p: 0, display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 0.5 }}>
        <li>
          {above.length === 0 ? (
            <Box component="span" aria-current="page" sx={{ ...look, fontWeight: 600 }}>
              {text.top[root]}
            </Box>
          ) : (
            <Link component={RouterLink} to={paths.files({ root: at })} data-into={at ? undefined : ""} sx={look}>
              {text.top[root]}
            </Link>
          )}
        </li>
        {above.map((folder, index) => (
          <Box component="li" key={folder.path} sx={{ display: "inline-flex", alignItems: "center", gap: 0.5, minWidth: 0 }}>
            <ChevronRight size={15} aria-hidden style={{ flexShrink: 0 }} />
            {index === above.length - 1 ? (
              <Box component="span" aria-current="page" sx={{ ...look, fontWeight: 600 }}>
                {folder.name}
              </Box>
            ) : (
              <Link component={RouterLink} to={paths.files({ root: at, path: folder.path })} data-into={at ? undefined : folder.path} sx={look}>
                {folder.name}
              </Link>
            )}
          </Box>
        ))}
      </Box>
    </Box>
  );
}
