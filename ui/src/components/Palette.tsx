/** Ctrl K: pages, folders, jobs and commands in one field. */
import Autocomplete from "@mui/material/Autocomplete";
import Box from "@mui/material/Box";
import Dialog from "@mui/material/Dialog";
import InputAdornment from "@mui/material/InputAdornment";
import TextField from "@mui/material/TextField";
import Typography from "@mui/material/Typography";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { Archive, FolderOpen, Keyboard, LogOut, type LucideIcon, Moon, Search } from "lucide-react";
import { type HTMLAttributes, useDeferredValue, useState } from "react";
import { useNavigate } from "react-router";

import { logOut } from "../api/logOut";
import { keys, queries, readFolders } from "../api/queries";
import type { User } from "../api/types";
import { text } from "../text/en";
import { paletteText } from "../text/enPalette";
import { paths } from "../util/paths";
import { bytes } from "../util/units";
import { useDebounced } from "../util/useDebounced";
import { destinations } from "./destinations";
import { STATUS_LOOK } from "./status";
import { useSchemeSwitch } from "./TopBar";

interface Option {
  id: string;
  group: string;
  label: string;
  hint?: string;
  icon: LucideIcon;
  run: () => unknown;
}

const FEW = 6;
const ALL_PAGES = 12;

/** Starts of words match, in any order: "arch proj" finds "Project Archive". */
export function matches(label: string, typed: string): boolean {
  const haystack = label.toLowerCase();
  return typed
    .toLowerCase()
    .split(/\s+/)
    .every((word) => haystack.includes(word));
}

function command(label: string, icon: LucideIcon, run: () => unknown): Option {
  return { id: label, group: paletteText.palette.commands, label, icon, run };
}

function useOptions(user: User, typed: string, onKeys: () => void): Option[] {
  const navigate = useNavigate();
  const client = useQueryClient();
  const scheme = useSchemeSwitch();
  const search = useDebounced(typed.trim(), 200);
  const query = { q: search, sort: "name", order: "asc", limit: FEW, offset: 0 } as const;
  const folders = useQuery({ ...queries.folders(query), enabled: search.length > 0, placeholderData: keepPreviousData }).data?.items ?? [];
  const jobs = useQuery(queries.jobs({ status: [], limit: 50, offset: 0 })).data?.items ?? [];
  const go = (to: string) => () => navigate(to);
  const page = (label: string, to: string, icon: LucideIcon): Option => ({ id: to, group: paletteText.palette.pages, label, icon, run: go(to) });
  const scan = async () => {
    await navigate(paths.folders());
    await readFolders({ sort: "path", order: "asc", limit: 1, offset: 0 }, true);
    await client.invalidateQueries({ queryKey: keys.folders });
  };
  return [
    ...destinations(user).map((one) => page(one.label, one.to, one.icon)),
    ...jobs.map((job) => ({
      id: job.job_id,
      group: paletteText.palette.jobs,
      label: job.folder_name,
      hint: text.status[job.status],
      icon: STATUS_LOOK[job.status].icon,
      run: go(paths.job(job.job_id)),
    })),
    command(paletteText.palette.scan, Archive, scan),
    command(paletteText.palette.scheme, Moon, scheme.flip),
    command(text.nav.shortcuts, Keyboard, onKeys),
    command(paletteText.palette.logout, LogOut, logOut),
    // Last, because they come late: what is highlighted keeps its place in the list, and Enter opens what it opened before.
    ...(search ? folders : []).map((folder) => ({
      id: folder.path,
      group: paletteText.palette.folders,
      label: folder.name,
      hint: `${folder.level1} / ${folder.level2} · ${bytes(folder.size_bytes)}`,
      icon: FolderOpen,
      run: go(paths.folders({ q: folder.name })),
    })),
  ];
}

interface Props {
  user: User;
  onClose: () => void;
  onKeys: () => void;
}

export default function Palette({ user, onClose, onKeys }: Props) {
  const [typed, setTyped] = useState("");
  const options = useOptions(user, useDeferredValue(typed), onKeys);
  const choose = (option: Option | null) => {
    if (!option) return;
    onClose();
    void option.run();
  };
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="sm" slotProps={{ paper: { "aria-label": paletteText.palette.title } }} sx={{ "& .MuiDialog-container": { alignItems: "flex-start" } }}>
      <Autocomplete<Option, false, false, true>
        open
        freeSolo
        openOnFocus
        autoHighlight
        disablePortal
        options={options}
        filterOptions={(all, { inputValue }) => found(all, inputValue)}
        groupBy={(option) => option.group}
        getOptionLabel={(option) => (typeof option === "string" ? option : option.label)}
        getOptionKey={(option) => (typeof option === "string" ? option : option.id)}
        inputValue={typed}
        onInputChange={(_, value, reason) => {
          if (reason !== "reset") setTyped(value);
        }}
        // A string: Enter came before the list was drawn; the first hit is what would have been highlighted.
        onChange={(_, value) => choose(typeof value === "string" ? (found(options, value)[0] ?? null) : value)}
        onClose={(_, reason) => {
          if (reason === "escape") onClose();
        }}
        renderGroup={({ key, group, children }) => (
          <Box key={key} role="group" aria-label={group}>
            <Typography component="div" aria-hidden variant="caption" sx={{ px: 2, pt: 1.25, pb: 0.5, fontWeight: 600, color: "text.secondary" }}>
              {group}
            </Typography>
            {children}
          </Box>
        )}
        renderOption={({ key, ...props }, option) => (
          <Box component="div" key={key} {...(props as HTMLAttributes<HTMLDivElement>)} sx={{ gap: 1.5, minHeight: 42 }}>
            <option.icon size={17} aria-hidden style={{ flexShrink: 0, opacity: 0.75 }} />
            <Typography component="span" noWrap sx={{ flex: 1, minWidth: 0 }}>
              {option.label}
            </Typography>
            {option.hint && (
              <Typography component="span" variant="caption" noWrap sx={{ color: "text.secondary", maxWidth: "45%" }}>
                {option.hint}
              </Typography>
            )}
          </Box>
        )}
        renderInput={(params) => (
          <TextField
            {...params}
            autoFocus
            placeholder={paletteText.palette.placeholder}
            slotProps={{
              ...params.slotProps,
              htmlInput: { ...params.slotProps.htmlInput, "aria-label": paletteText.palette.title },
              input: {
                ...params.slotProps.input,
                startAdornment: (
                  <InputAdornment position="start" sx={{ ps: 1 }}>
                    <Search size={18} aria-hidden />
                  </InputAdornment>
                ),
              },
            }}
            sx={{ p: 1.5, "& fieldset": { border: 0 } }}
          />
        )}
        slotProps={{
          popper: { placement: "bottom", sx: { position: "static !important", transform: "none !important", width: "100% !important" } },
          paper: { sx: { borderTop: 1, borderColor: "divider", borderRadius: 0 } },
          // Groups of options are no list items.
          listbox: { component: "div", sx: { maxHeight: "min(50vh, 420px)" } },
        }}
      />
      <Typography variant="caption" sx={{ px: 2.5, py: 1.25, color: "text.secondary", borderTop: 1, borderColor: "divider" }}>
        {paletteText.palette.hint}
      </Typography>
    </Dialog>
  );
}

/** The matching options; a few of each group are enough to choose from. */
function found(options: Option[], typed: string): Option[] {
  const seen = new Map<string, number>();
  return options.filter((option) => {
    if (!matches(`${option.label} ${option.hint ?? ""}`, typed)) return false;
    const n = (seen.get(option.group) ?? 0) + 1;
    seen.set(option.group, n);
    return n <= (option.group === paletteText.palette.pages ? ALL_PAGES : FEW);
  });
}
