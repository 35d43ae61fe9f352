/** The words of archives in the file pages, made, looked into and extracted: apart, because their dialogs are fetched when they open. */
import { bytes, percent } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enArchives = {
  archiving: {
    title: (n: number, name: string) => (n === 1 ? `Archive ${name}` : `Archive ${plural(n, "entry", "entries")}`),
    name: "Name of the archive",
    where: (folder: string) => `The archive is created in ${folder}. The original files stay unchanged.`,
    format: "Format",
    level: "Compression",
    levels: (n: number) => (n === 0 ? "0, store only" : n === 6 ? "6, balanced" : n === 9 ? "9, smallest" : String(n)),
    password: "Password (optional)",
    passwordHint: "The archive cannot be opened without it. The password is not stored: if you lose it, the contents are lost.",
    noPassword: "Only zip and 7z support a password and parts.",
    volume: "Split into parts",
    volumes: { "": "One file", "104857600": "Parts of 100 MB", "1073741824": "Parts of 1 GB", "4294901760": "Parts for FAT drives (4 GB)", "26843545600": "Parts of 25 GB" } as Record<string, string>,
    confirm: "Create archive",
    begun: (name: string) => `Creating ${name}…`,
  },
  extracting: {
    title: (name: string) => `Extract ${name}`,
    some: (n: number) => `Only ${plural(n, "selected entry", "selected entries")}`,
    into: "Into folder",
    intoHint: "A folder in your workspace. It is created if it does not exist. Existing files are never replaced.",
    password: "Password (if required)",
    confirm: "Extract",
    begun: (name: string) => `Extracting ${name}…`,
  },
  inside: {
    title: (name: string) => `Contents of ${name}`,
    search: "Search in the archive",
    figures: (files: number, size: number, packed: number) => `${plural(files, "file", "files")}, ${bytes(size)} unpacked, ${bytes(packed)} packed`,
    smaller: (share: number) => `${percent(share)} smaller`,
    encrypted: "encrypted",
    locked: "This archive needs a password.",
    password: "Password",
    unlock: "Open",
    problems: "This archive cannot be extracted as it is:",
    empty: "The archive is empty.",
    noMatch: "No matching entries.",
    path: "Path",
    choose: (path: string) => `Choose ${path}`,
    extractAll: "Extract all…",
    extractSome: (n: number) => `Extract ${plural(n, "entry", "entries")}…`,
  },
};

export const archivesText: typeof enArchives = spoken(enArchives);
