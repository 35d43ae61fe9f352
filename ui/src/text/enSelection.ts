/** The words of the bar for selected folders: apart, because it is fetched with the first selection. As in en.ts otherwise. */
import { count } from "../util/units";
import { spoken } from "./en";
import { plural } from "./plural";

export const enSelection = {
  all: "Select all that match",
  first: (n: number, total: number) => `${count(n)} of ${plural(total, "folder", "folders")} are selected, the first in this order. Archive these, then select the next ones.`,
};

export const selectionText: typeof enSelection = spoken(enSelection);
