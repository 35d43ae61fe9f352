import Checkbox from "@mui/material/Checkbox";
import IconButton from "@mui/material/IconButton";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import TableSortLabel from "@mui/material/TableSortLabel";
import { EllipsisVertical } from "lucide-react";
import type { MouseEvent } from "react";

import type { Sort } from "../../api/files";
import type { FileEntry } from "../../api/types";
import { filesText as text } from "../../text/enFiles";
import { dateTime, exactTime } from "../../util/time";
import { bytes, exactBytes } from "../../util/units";
import { EntryName } from "./EntryName";
import { FolderSize } from "./FolderSize";
import type { ListProps } from "./offer";

const COLUMNS: { sort: Sort; label: string; end?: boolean; width?: number }[] = [
  { sort: "name", label: text.name },
  { sort: "size", label: text.size, end: true, width: 130 },
  { sort: "modified", label: text.modified, width: 210 },
];

export default function FileTable(props: ListProps) {
  const { entries, asked, selected, onToggle, onSort } = props;
  const choosable = entries.filter((entry) => entry.reachable);
  const chosen = choosable.filter((entry) => selected.has(entry.path)).length;
  return (
    <Table aria-label={text.title} sx={{ tableLayout: "fixed" }}>
      <TableHead>
        <TableRow>
          <TableCell padding="checkbox">
            <Checkbox
              checked={choosable.length > 0 && chosen === choosable.length}
              indeterminate={chosen > 0 && chosen < choosable.length}
              disabled={choosable.length === 0}
              onChange={(_, on) => onToggle(choosable, on)}
              slotProps={{ input: { "aria-label": text.selectPage } }}
            />
          </TableCell>
          {COLUMNS.map(({ sort, label, end, width }) => (
            <TableCell key={sort} align={end ? "right" : "left"} sx={{ width }} sortDirection={asked.sort === sort ? asked.order : false}>
              <TableSortLabel active={asked.sort === sort} direction={asked.sort === sort ? asked.order : "asc"} onClick={() => onSort(sort)}>
                {label}
              </TableSortLabel>
            </TableCell>
          ))}
          <TableCell sx={{ width: 100 }}>{text.actions}</TableCell>
        </TableRow>
      </TableHead>
      <TableBody>
        {entries.map((entry) => (
          <Row key={entry.path} entry={entry} checked={selected.has(entry.path)} {...props} />
        ))}
      </TableBody>
    </Table>
  );
}

function Row({ entry, asked, checked, onPick, onOnly, onOpen, onMenu }: ListProps & { entry: FileEntry; checked: boolean }) {
  /** Beside its words and buttons the row itself is chosen: alone, with Ctrl one more, with Shift a range. */
  const onClick = (event: MouseEvent) => {
    if ((event.target as Element).closest("a, button, input, label")) return;
    if (event.shiftKey) onPick(entry, true, true);
    else if (event.ctrlKey || event.metaKey) onPick(entry, !checked, false);
    else onOnly(entry);
  };
  const own = asked.root === "workspace";
  return (
    <TableRow
      hover
      draggable={own && entry.reachable}
      data-into={own && entry.is_dir && entry.reachable ? entry.path : undefined}
      selected={checked}
      tabIndex={-1}
      data-row={entry.path}
      onClick={onClick}
      onMouseDown={(event) => event.shiftKey && event.preventDefault()} // a range of rows, not of words
      onContextMenu={(event) => {
        if (!entry.reachable) return;
        event.preventDefault();
        onMenu({ entry, at: { top: event.clientY, left: event.clientX } });
      }}
    >
      <TableCell padding="checkbox">
        <Checkbox
          checked={checked}
          disabled={!entry.reachable}
          onChange={(event, on) => onPick(entry, on, (event.nativeEvent as unknown as PointerEvent).shiftKey)}
          slotProps={{ input: { "aria-label": text.selectOne(entry.name) } }}
        />
      </TableCell>
      <TableCell>
        <EntryName entry={entry} asked={asked} onOpen={onOpen} />
      </TableCell>
      <TableCell align="right" title={entry.size === null ? undefined : exactBytes(entry.size)}>
        {entry.size !== null ? bytes(entry.size) : own && entry.is_dir && entry.reachable ? <FolderSize entry={entry} /> : "–"}
      </TableCell>
      <TableCell title={exactTime(entry.modified_at)}>{dateTime(entry.modified_at)}</TableCell>
      <TableCell>
        <IconButton aria-label={text.actionsOf(entry.name)} aria-haspopup="menu" disabled={!entry.reachable} onClick={(event) => onMenu({ entry, anchor: event.currentTarget })}>
          <EllipsisVertical size={18} aria-hidden />
        </IconButton>
      </TableCell>
    </TableRow>
  );
}
