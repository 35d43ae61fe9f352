import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Checkbox from "@mui/material/Checkbox";
import IconButton from "@mui/material/IconButton";
import Typography from "@mui/material/Typography";
import { EllipsisVertical } from "lucide-react";

import type { Sort } from "../../api/files";
import { Pick } from "../../components/Pick";
import { filesText as text } from "../../text/enFiles";
import { dateTime } from "../../util/time";
import { bytes } from "../../util/units";
import { EntryName } from "./EntryName";
import { FolderSize } from "./FolderSize";
import type { ListProps } from "./offer";

const SORT_LABELS: [Sort, string][] = [
  ["name", text.byName],
  ["size", text.bySize],
  ["modified", text.byTime],
];

/** The same list on a phone. */
export default function FileCards({ entries, asked, selected, onPick, onSort, onOpen, onMenu }: ListProps) {
  const own = asked.root === "workspace";
  // Under a finger a long press opens the menu.
  const drags = own && window.matchMedia("(pointer: fine)").matches;
  return (
    <>
      <Pick label={text.sortBy} value={asked.sort} options={SORT_LABELS} onChange={onSort} sx={{ mb: 1.5, minWidth: 170 }} />
      <Card component="ul" sx={{ listStyle: "none", p: 0, m: 0 }}>
        {entries.map((entry) => (
          <Box
            component="li"
            key={entry.path}
            data-row={entry.path}
            data-into={own && entry.is_dir && entry.reachable ? entry.path : undefined}
            draggable={drags && entry.reachable}
            tabIndex={-1}
            onContextMenu={(event) => {
              // A long press.
              if (!entry.reachable) return;
              event.preventDefault();
              onMenu({ entry, at: { top: event.clientY, left: event.clientX } });
            }}
            sx={{
              display: "grid",
              gridTemplateColumns: "44px minmax(0, 1fr) 44px",
              alignItems: "center",
              gap: 0.5,
              p: 0.75,
              "& + &": { borderTop: 1, borderColor: "divider" },
              backgroundColor: selected.has(entry.path) ? "color-mix(in srgb, var(--mui-palette-primary-main) 9%, transparent)" : undefined,
            }}
          >
            <Checkbox
              checked={selected.has(entry.path)}
              disabled={!entry.reachable}
              onChange={(_, on) => onPick(entry, on, false)}
              slotProps={{ input: { "aria-label": text.selectOne(entry.name) } }}
              sx={{ width: 44, height: 44 }}
            />
            <Box sx={{ minWidth: 0, "& a": { display: "inline-flex", alignItems: "center", minHeight: { xs: 44, md: 24 } } }}>
              <EntryName entry={entry} asked={asked} onOpen={onOpen} />
              <Typography component="div" variant="caption" sx={{ color: "text.secondary", pl: 3.75, mt: -0.75, pb: 0.5 }}>
                {[entry.size === null ? null : bytes(entry.size), dateTime(entry.modified_at)].filter(Boolean).join(" · ")}
                {own && entry.is_dir && entry.reachable && (
                  <>
                    {" · "}
                    <FolderSize entry={entry} />
                  </>
                )}
              </Typography>
            </Box>
            <IconButton aria-label={text.actionsOf(entry.name)} aria-haspopup="menu" disabled={!entry.reachable} onClick={(event) => onMenu({ entry, anchor: event.currentTarget })}>
              <EllipsisVertical size={19} aria-hidden />
            </IconButton>
          </Box>
        ))}
      </Card>
    </>
  );
}
