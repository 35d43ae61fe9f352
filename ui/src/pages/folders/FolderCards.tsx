import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Checkbox from "@mui/material/Checkbox";
import Typography from "@mui/material/Typography";

import { Pick } from "../../components/Pick";
import { text } from "../../text/en";
import { day } from "../../util/time";
import { bytes } from "../../util/units";
import { FolderAction, PartialMark } from "./FolderState";
import { Levels } from "./FolderTable";
import { type ListProps, offered, type Sort } from "./offer";

const SORT_LABELS: [Sort, string][] = [
  ["path", text.folders.byPlace],
  ["size", text.folders.bySize],
  ["modified", text.folders.byTime],
  ["files", text.folders.byFiles],
];

/** The same list on a phone. */
export default function FolderCards({ folders, asked, selected, onToggle, onSort, onArchive, onLevel }: ListProps) {
  return (
    <>
      <Pick label={text.folders.sortBy} value={asked.sort === "name" ? "path" : asked.sort} options={SORT_LABELS} onChange={onSort} sx={{ mb: 1.5, minWidth: 170 }} />
      <Box component="ul" sx={{ listStyle: "none", p: 0, m: 0, display: "grid", gap: 1 }}>
        {folders.map((folder) => (
          <Card
            component="li"
            key={folder.path}
            data-row={folder.path}
            sx={{ display: "grid", gridTemplateColumns: "44px minmax(0, 1fr)", p: 1, pr: 1.5, borderColor: selected.has(folder.path) ? "primary.main" : undefined }}
          >
            <Checkbox
              checked={selected.has(folder.path)}
              disabled={!offered(folder)}
              onChange={(_, on) => onToggle([folder], on)}
              slotProps={{ input: { "aria-label": text.folders.selectOne(folder.name) } }}
              sx={{ alignSelf: "start", width: 44, height: 44 }}
            />
            <Box sx={{ minWidth: 0, pt: 1.1 }}>
              <Typography sx={{ fontWeight: 580, lineHeight: 1.35 }}>
                {folder.name}
                <PartialMark folder={folder} />
              </Typography>
              <Levels folder={folder} onLevel={onLevel} />
              <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", justifyContent: "space-between", gap: 1, mt: 0.75, mb: 0.25 }}>
                <Typography variant="caption" sx={{ color: "text.secondary" }}>
                  {bytes(folder.size_bytes)} · {text.folders.fileCount(folder.file_count)} · {day(folder.modified_at)}
                </Typography>
                <FolderAction folder={folder} onArchive={onArchive} />
              </Box>
            </Box>
          </Card>
        ))}
      </Box>
    </>
  );
}
