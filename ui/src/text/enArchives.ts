/** The words of archives in the file pages, made, looked into and extracted: apart, because their dialogs are fetched when they open. */
import { bytes, percent } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enArchives = {
  archiving: {
    title: (n: number, name: string) => (n === 1 ? `Archive ${name}` : `Archive ${plural(n, "entry", "entries")}`),
    name: "Name of the archive",
    where: (folder: string) => `It is made in ${folder}. What goes in stays as it is.`,
    format: "Format",
    level: "Compression",
    levels: (n: number) => (n === 0 ? "0, store only" : n === 6 ? "6, balanced" : n === 9 ? "9, smallest" : String(n)),
    password: "Password (optional)",
    passwordHint: "Nobody can open the archive without it, and it is kept nowhere: lose it, and the contents are lost.",
    noPassword: "Only zip and 7z can have a password and parts.",
    volume: "Cut into parts",
    volumes: { "": "One file", "104857600": "Parts of 100 MB", "1073741824": "Parts of 1 GB", "4294901760": "Parts for FAT drives (4 GB)", "26843545600": "Parts of 25 GB" } as Record<string, string>,
    confirm: "Create archive",
    begun: (name: string) => `${name} is being made.`,
  },
  extracting: {
    title: (name: string) => `Extract ${name}`,
    some: (n: number) => `Only ${plural(n, "chosen entry", "chosen entries")}`,
    into: "Into folder",
    intoHint: "Below your workspace; made where it is not there. Nothing that is there is ever replaced.",
    password: "Password, if it has one",
    confirm: "Extract",
    begun: (name: string) => `${name} is being extracted.`,
  },
  inside: {
    title: (name: string) => `Contents of ${name}`,
    search: "Search in the archive",
    figures: (files: number, size: number, packed: number) => `${plural(files, "file", "files")}, ${bytes(size)} unpacked, ${bytes(packed)} as archive`,
    smaller: (share: number) => `${percent(share)} smaller`,
    encrypted: "encrypted",
    locked: "This archive asks for a password.",
    password: "Password",
    unlock: "Open",
    problems: "It will not be extracted as it is:",
    empty: "The archive is empty.",
    noMatch: "No entry is called that.",
    path: "Path",
    choose: (path: string) => `Choose ${path}`,
    extractAll: "Extract all…",
    extractSome: (n: number) => `Extract ${plural(n, "entry", "entries")}…`,
  },
};

export const archivesText: typeof enArchives = spoken(enArchives);
