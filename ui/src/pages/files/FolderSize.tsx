import Box from "@mui/material/Box";
import Link from "@mui/material/Link";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { fileQueries } from "../../api/files";
import type { FileEntry } from "../../api/types";
import { lookText } from "../../text/enLook";
import { bytes, exactBytes } from "../../util/units";

const words = lookText.size;

/** How much is in a folder of the workspace: walked through when somebody asks, and kept up to date from then on. */
export function FolderSize({ entry }: { entry: FileEntry }) {
  const [asked, setAsked] = useState(false);
  const info = useQuery({ ...fileQueries.info(entry.path), enabled: asked });
  const total = info.data?.total_bytes;
  if (!asked) {
    return (
      <Link component="button" type="button" aria-label={words.showOf(entry.name)} onClick={() => setAsked(true)} sx={{ fontSize: "inherit", whiteSpace: "nowrap" }}>
        {words.show}
      </Link>
    );
  }
  if (typeof total !== "number") {
    return (
      <span role="status" title={info.error?.message}>
        {info.error ? words.failed : "…"}
      </span>
    );
  }
  return (
    <Box component="span" role="status" title={exactBytes(total)} sx={{ display: "inline-block" }}>
      {bytes(total)}
      <Box component="span" sx={{ display: "block", fontSize: "0.8125rem", color: "text.secondary" }}>
        {words.files(info.data?.file_count ?? 0)}
      </Box>
    </Box>
  );
}
