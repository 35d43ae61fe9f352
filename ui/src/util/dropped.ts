/** What was dropped or chosen, with the folders that it comes in. */
export interface Chosen {
  file: File;
  /** Below where it was dropped: "shots/a.mov". */
  path: string;
}

/** Of an `<input type="file">`, also one for folders. */
export function chosen(files: Iterable<File>): Chosen[] {
  return [...files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** A folder with nothing in it. */
export interface Empty {
  file: null;
  path: string;
}

/** Of a drop: folders are walked through. Call it in the event itself; the browser forgets the items afterwards. */
export async function dropped(transfer: DataTransfer): Promise<(Chosen | Empty)[]> {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  const found = await Promise.all(entries.map((entry) => (entry instanceof File ? [{ file: entry, path: entry.name }] : entry ? walk(entry, "") : [])));
  return found.flat();
}

async function walk(entry: FileSystemEntry, above: string): Promise<(Chosen | Empty)[]> {
  const path = `${above}${entry.name}`;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ file, path }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const below: FileSystemEntry[] = [];
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- a reader gives a hundred at a time, in turn
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    below.push(...some);
  }
  if (below.length === 0) return [{ file: null, path }];
  return (await Promise.all(below.map((child) => walk(child, `${path}/`)))).flat();
}
