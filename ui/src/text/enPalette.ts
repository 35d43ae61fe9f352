/** The words of the command palette and of the list of shortcuts: apart, because both are fetched when they open. As in en.ts otherwise. */
import { spoken } from "./en";

export const enPalette = {
  palette: {
    title: "Search or run a command",
    placeholder: "Page, folder, job or command",
    pages: "Pages",
    folders: "Folders",
    jobs: "Jobs",
    commands: "Commands",
    none: "Nothing found.",
    scan: "Scan the folders now",
    logout: "Log out",
    scheme: "Switch between light and dark",
    hint: "↑ ↓ to choose, Enter to open, Esc to close",
  },
  keys: {
    title: "Keyboard shortcuts",
    palette: "Search or run a command",
    search: "Search on this page",
    goto: (page: string) => `Go to ${page}`,
    next: "Next row, previous row",
    select: "Select the row",
    range: "Select up to this row (files)",
    open: "Open the row",
    archive: "Archive the selection",
    refresh: "Scan or refresh",
    escape: "Close, clear the selection",
    help: "Show this list",
  },
};

export const paletteText: typeof enPalette = spoken(enPalette);
