import Box from "@mui/material/Box";
import Checkbox from "@mui/material/Checkbox";
import Link from "@mui/material/Link";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import TableSortLabel from "@mui/material/TableSortLabel";
import { memo, useRef } from "react";

import type { Folder } from "../../api/types";
import { text } from "../../text/en";
import { day, exactTime } from "../../util/time";
import { bytes, count, exactBytes } from "../../util/units";
import { FolderAction, PartialMark } from "./FolderState";
import { type ListProps, offered, type Sort } from "./offer";

const COLUMNS: { sort: Sort; label: string; end?: boolean; width?: { xs: number; lg: number } }[] = [
  { sort: "name", label: text.folders.name },
  { sort: "files", label: text.folders.files, end: true, width: { xs: 84, lg: 100 } },
  { sort: "size", label: text.folders.size, end: true, width: { xs: 100, lg: 120 } },
  { sort: "modified", label: text.folders.modified, width: { xs: 126, lg: 150 } },
];

export default function FolderTable({ folders, asked, selected, onToggle, onSort, onArchive, onLevel }: ListProps) {
  const choosable = folders.filter(offered);
  const chosen = choosable.filter((folder) => selected.has(folder.path)).length;
  const last = useRef<string | null>(null);
  /** With Shift: everything from the row touched last to this one. */
  const toggle = (folder: Folder, on: boolean, range: boolean) => {
    const from = range ? folders.findIndex((item) => item.path === last.current) : -1;
    const to = folders.indexOf(folder);
    last.current = folder.path;
    onToggle(from < 0 ? [folder] : folders.slice(Math.min(from, to), Math.max(from, to) + 1), on);
  };
  return (
      <Table aria-label={text.folders.title} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <TableCell padding="checkbox">
              <Checkbox
                checked={choosable.length > 0 && chosen === choosable.length}
                indeterminate={chosen > 0 && chosen < choosable.length}
                disabled={choosable.length === 0}
                onChange={(_, on) => onToggle(choosable, on)}
                slotProps={{ input: { "aria-label": text.folders.selectPage } }}
              />
            </TableCell>
            {COLUMNS.map(({ sort, label, end, width }) => (
              <TableCell key={sort} align={end ? "right" : "left"} sx={{ width }} sortDirection={asked.sort === sort ? asked.order : false}>
                <TableSortLabel active={asked.sort === sort} direction={asked.sort === sort ? asked.order : "asc"} onClick={() => onSort(sort)}>
                  {label}
                </TableSortLabel>
              </TableCell>
            ))}
            <TableCell sx={{ width: { xs: 140, lg: 190 } }}>{text.folders.action}</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {folders.map((folder) => (
            <Row key={folder.path} folder={folder} checked={selected.has(folder.path)} onToggle={toggle} onArchive={onArchive} onLevel={onLevel} />
          ))}
        </TableBody>
      </Table>
  );
}

interface RowProps {
  folder: Folder;
  checked: boolean;
  onToggle: (folder: Folder, on: boolean, range: boolean) => void;
  onArchive: (folder: Folder) => void;
  onLevel: ListProps["onLevel"];
}

const Row = memo(
  function Row({ folder, checked, onToggle, onArchive, onLevel }: RowProps) {
    const can = offered(folder);
    return (
      <TableRow hover selected={checked} tabIndex={-1} data-row={folder.path}>
        <TableCell padding="checkbox">
          <Checkbox
            checked={checked}
            disabled={!can}
            onChange={(event, on) => onToggle(folder, on, (event.nativeEvent as unknown as MouseEvent).shiftKey)}
            slotProps={{ input: { "aria-label": text.folders.selectOne(folder.name) } }}
          />
        </TableCell>
        <TableCell>
          <Box sx={{ fontWeight: 560 }}>
            {folder.name}
            <PartialMark folder={folder} />
          </Box>
          <Levels folder={folder} onLevel={onLevel} />
        </TableCell>
        <TableCell align="right">{count(folder.file_count)}</TableCell>
        <TableCell align="right" title={exactBytes(folder.size_bytes)}>
          {bytes(folder.size_bytes)}
        </TableCell>
        <TableCell title={exactTime(folder.modified_at)}>{day(folder.modified_at)}</TableCell>
        <TableCell>
          <FolderAction folder={folder} onArchive={onArchive} />
        </TableCell>
      </TableRow>
    );
  },
  (before, after) => before.folder === after.folder && before.checked === after.checked,
);

/** The folder's place; a click shows only what is there. */
export function Levels({ folder, onLevel }: { folder: Folder; onLevel: ListProps["onLevel"] }) {
  const look = { fontSize: "0.8125rem", color: "text.secondary", fontWeight: 450, textAlign: "start", verticalAlign: "baseline" } as const;
  return (
    <Box sx={{ color: "text.secondary", fontSize: "0.8125rem" }}>
      <Link component="button" type="button" sx={look} aria-label={text.folders.level(folder.level1)} onClick={() => onLevel(folder.level1, null)}>
        {folder.level1}
      </Link>
      {" / "}
      <Link component="button" type="button" sx={look} aria-label={text.folders.level(`${folder.level1} / ${folder.level2}`)} onClick={() => onLevel(folder.level1, folder.level2)}>
        {folder.level2}
      </Link>
    </Box>
  );
}
