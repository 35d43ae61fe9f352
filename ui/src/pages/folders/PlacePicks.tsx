import { useQuery } from "@tanstack/react-query";

import { type FolderQuery, queries } from "../../api/queries";
import { Pick } from "../../components/Pick";
import { text } from "../../text/en";
import { categories, subcategories } from "./places";

/** Level 1, and below a chosen one level 2. */
export function PlacePicks({ asked, onPick }: { asked: FolderQuery; onPick: (level1: string | null, level2: string | null) => void }) {
  const places = useQuery(queries.places(Boolean(asked.include))).data ?? [];
  const look = { flex: { xs: "1 1 140px", sm: "0 1 auto" }, minWidth: 0, maxWidth: { xs: "100%", sm: 240 } };
  return (
    <>
      <Pick label={text.folders.category} value={asked.level1 ?? ""} options={categories(places, asked.level1)} onChange={(level1) => onPick(level1 || null, null)} sx={look} />
      {asked.level1 && (
        <Pick
          label={text.folders.subcategory}
          value={asked.level2 ?? ""}
          options={subcategories(places, asked.level1, asked.level2)}
          onChange={(level2) => onPick(asked.level1 ?? null, level2 || null)}
          sx={look}
        />
      )}
    </>
  );
}
