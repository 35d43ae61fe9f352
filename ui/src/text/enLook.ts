/** The words of previews, folder sizes and drags: apart, because they are fetched with the list and its dialogs. As in en.ts otherwise. */
import { bytes, exactSize } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enLook = {
  preview: {
    open: "Preview",
    title: (name: string) => `Preview of ${name}`,
    previous: "Previous file",
    next: "Next file",
    play: (name: string) => `Play ${name}`,
    pdf: (name: string) => `Pages of ${name}`,
    content: (name: string) => `Text of ${name}`,
    coming: "Loading the preview…",
    none: "There is no preview for this kind of file",
    noneText: "Download the file to open it with a program on your computer.",
    broken: "The browser cannot show this picture",
    unplayable: "This browser cannot play this file",
    picture: "This browser cannot play this file. Here is a picture from it.",
    tooLarge: "This file is too large for a preview",
    empty: "The file is empty",
    cut: (size: number) => `Only the first ${exactSize(size)} are shown.`,
    media: "Media information",
  },
  size: {
    show: "Show size",
    showOf: (name: string) => `Show size of ${name}`,
    files: (n: number) => plural(n, "file", "files"),
    failed: "unknown",
  },
  drag: {
    carried: (n: number, name: string) => (n === 1 ? name : plural(n, "entry", "entries")),
    done: (n: number, folder: string) => `Moved ${plural(n, "entry", "entries")} to ${folder}`,
    failed: (n: number, why: string) => `${plural(n, "entry", "entries")} could not be moved: ${why}`,
    undone: (n: number) => `Moved ${plural(n, "entry", "entries")} back`,
  },
  output: {
    folder: (path: string) => `Extracted into ${path}`,
    open: "Open the folder",
    openOf: (name: string) => `Open the folder of ${name}`,
    parts: (name: string, n: number, size: number) => `${name} and ${plural(n - 1, "more part", "more parts")}, ${bytes(size)}`,
  },
};

export const lookText: typeof enLook = spoken(enLook);
