import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** A list's state lives in the address. Setting anything but the page goes back to the first page; empty values leave the address. */
export function useListState() {
  const [query, setQuery] = useSearchParams();
  const set = useCallback(
    (changes: Record<string, string | null>, { push = false }: { push?: boolean } = {}) => {
      setQuery(
        () => {
          const next = new URLSearchParams(window.location.search); // the address itself: what was drawn may be older
          if (!("page" in changes)) next.delete("page");
          for (const [key, value] of Object.entries(changes)) {
            if (value) next.set(key, value);
            else next.delete(key);
          }
          return next;
        },
        { replace: !push },
      );
    },
    [setQuery],
  );
  const page = Math.max(1, Number.parseInt(query.get("page") ?? "1", 10) || 1);
  return { query, set, page, setPage: (to: number) => set({ page: to > 1 ? String(to) : null }, { push: true }) };
}
