/** The words of auto-archive: apart, because they are fetched with its section of the settings. As in en.ts otherwise. */
import { spoken } from "./en";
import { plural } from "./plural";

export const enAuto = {
  title: "Auto-archive",
  hint: "Create a zip of the files that arrive by upload or extraction. The original files stay, and archives are not zipped again.",
  everything: "In the whole workspace",
  folders: "Or only in these folders",
  folder: "Folder",
  add: "Add folder",
  remove: (folder: string) => `Remove ${folder}`,
  waiting: (files: number) => `${plural(files, "file waits", "files wait")} for the upload to finish.`,
  dismiss: "Dismiss",
};

export const autoText: typeof enAuto = spoken(enAuto);
