import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import Checkbox from "@mui/material/Checkbox";
import FormControlLabel from "@mui/material/FormControlLabel";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { FolderSearch, RefreshCw } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { useNavigate } from "react-router";

import { type FolderQuery, keys, queries, readFolders } from "../../api/queries";
import { usePolling } from "../../api/sync";
import type { Folder } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { PageHeader } from "../../components/PageHeader";
import { Pager } from "../../components/Pager";
import { SearchField } from "../../components/SearchField";
import { useListKeys } from "../../components/shortcuts";
import { EmptyState, ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { ago } from "../../util/time";
import { useListState } from "../../util/useListState";
import { useNow } from "../../util/useNow";
import { hasRows, useRows } from "../../util/useWide";
import { offered, type Sort, SORTS } from "./offer";
import { PlacePicks } from "./PlacePicks";
import { useSelection } from "./selection";
import { Unreadable } from "./Unreadable";

const fetchTable = () => import("./FolderTable");
const fetchCards = () => import("./FolderCards");
const FolderTable = lazy(fetchTable);
const FolderCards = lazy(fetchCards);
void (hasRows() ? fetchTable() : fetchCards()); // while the first folders are read
const FolderBar = lazy(() => import("./FolderBar"));
const Review = lazy(() => import("./Review"));
const PAGE_SIZE = 50;

function useFolderQuery() {
  const state = useListState();
  const { query } = state;
  const sort = SORTS.find((known) => known === query.get("sort")) ?? "path";
  const asked: FolderQuery = {
    q: query.get("q") ?? undefined,
    level1: query.get("level1") ?? undefined,
    level2: query.get("level2") ?? undefined,
    include: query.get("archived") ? ["archived", "ignored"] : undefined,
    sort,
    order: query.get("order") === "desc" ? "desc" : "asc",
    limit: PAGE_SIZE,
    offset: (state.page - 1) * PAGE_SIZE,
  };
  return { ...state, asked, filtered: Boolean(asked.q || asked.level1 || asked.level2) };
}

export function Folders() {
  const { asked, filtered, set, page, setPage } = useFolderQuery();
  const folders = useQuery({ ...queries.folders(asked), refetchInterval: usePolling() });
  const scan = useScan();
  const [reviewing, setReviewing] = useState<Folder[] | null>(null);
  const navigate = useNavigate();
  const rows = useRows();
  const items = folders.data?.items ?? [];
  const { selected, toggle, drop, clear } = useSelection(items);
  const review = () => {
    if (selected.size > 0) {
      setReviewing([...selected.values()]);
      return;
    }
    document.querySelector<HTMLElement>("[data-row] input:enabled")?.focus();
    toast(text.folders.selectFirst, "info");
  };
  const sortBy = (sort: Sort) => set({ sort, order: asked.sort === sort && asked.order === "asc" ? "desc" : null });

  useListKeys((key, row) => {
    const folder = items.find((item) => item.path === row);
    if (key === "x" && folder) toggle([folder], !selected.has(folder.path));
    else if (key === "o" && folder?.job_id) void navigate(paths.job(folder.job_id));
    else if (key === "a" && (selected.size > 0 || (folder && offered(folder)))) {
      setReviewing(selected.size > 0 ? [...selected.values()] : folder ? [folder] : []);
    } else if (key === "r") scan.mutate();
    else if (key === "Escape") clear();
    else return false;
    return true;
  });

  const shared = {
    folders: items,
    asked,
    selected,
    onToggle: toggle,
    onSort: sortBy,
    onArchive: (folder: Folder) => setReviewing([folder]),
    onLevel: (level1: string, level2: string | null) => set({ level1, level2 }),
  };
  return (
    <>
      <PageHeader
        title={text.folders.title}
        subtitle={<Freshness scannedAt={folders.data?.scannedAt ?? null} total={folders.data?.total} loaded={folders.isSuccess} />}
        actions={
          <>
            <ActionButton variant="outlined" startIcon={<RefreshCw size={16} aria-hidden />} loading={scan.isPending} loadingPosition="start" onClick={() => scan.mutate()}>
              {scan.isPending ? text.folders.refreshing : text.folders.refresh}
            </ActionButton>
            {/* While there is a selection, the bar below has it; its place stays, so that nothing moves. */}
            <Button variant="contained" onClick={review} sx={{ visibility: selected.size > 0 ? "hidden" : undefined }}>
              {text.folders.review}
            </Button>
          </>
        }
      />
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.25, mb: 2 }}>
        <SearchField label={text.folders.search} value={asked.q ?? ""} onChange={(q) => set({ q })} />
        <PlacePicks asked={asked} onPick={(level1, level2) => set({ level1, level2 })} />
        <FormControlLabel
          control={<Checkbox checked={Boolean(asked.include)} onChange={(_, on) => set({ archived: on ? "1" : null })} />}
          label={text.folders.showArchived}
          slotProps={{ typography: { variant: "body2" } }}
          sx={{ ml: 0.5, minHeight: 36 }}
        />
      </Box>
      <StaleNote query={folders} />
      <Unreadable />
      {folders.error && !folders.data && <ErrorPanel error={folders.error} onRetry={() => folders.refetch()} />}
      {!folders.error && !folders.data && (
        <Card>
          <SkeletonRows />
        </Card>
      )}
      {folders.data && items.length === 0 && (
        <Card>
          <Nothing filtered={filtered} onClear={() => set({ q: null, level1: null, level2: null })} />
        </Card>
      )}
      {items.length > 0 && (
        <Box sx={{ opacity: folders.isPlaceholderData ? 0.6 : 1, transition: "opacity 0.15s" }}>
          <Suspense fallback={<SkeletonRows />}>
            {rows ? (
              <Card>
                <FolderTable {...shared} />
                <Pager page={page} size={PAGE_SIZE} total={folders.data?.total ?? 0} onPage={setPage} />
              </Card>
            ) : (
              <>
                <FolderCards {...shared} />
                <Pager page={page} size={PAGE_SIZE} total={folders.data?.total ?? 0} onPage={setPage} />
              </>
            )}
          </Suspense>
        </Box>
      )}
      <Suspense fallback={null}>
        {selected.size > 0 && (
          <FolderBar
            selected={selected}
            asked={asked}
            more={(folders.data?.total ?? 0) > items.length}
            onSelect={(found) => toggle(found, true)}
            onClear={clear}
            onReview={review}
          />
        )}
      </Suspense>
      <Suspense fallback={null}>
        {reviewing && (
          <Review folders={reviewing} onClose={() => setReviewing(null)} onQueued={drop} />
        )}
      </Suspense>
    </>
  );
}

function useScan() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => readFolders({ sort: "path", order: "asc", limit: 1, offset: 0 }, true),
    onSuccess: async (page) => {
      await client.invalidateQueries({ queryKey: keys.folders });
      await Promise.all([keys.places, keys.system].map((queryKey) => client.invalidateQueries({ queryKey })));
      toast(page.scanRunning ? text.folders.scanGoesOn : text.folders.scanDone(page.total), "info");
    },
    onError: (error) => toast(error.message, "error"),
  });
}

function Freshness({ scannedAt, total, loaded }: { scannedAt: string | null; total: number | undefined; loaded: boolean }) {
  const now = useNow(20_000);
  if (!loaded || total === undefined) return "\u00a0";
  return `${text.folders.found(total)} · ${scannedAt ? text.folders.scanned(ago(scannedAt, now)) : text.folders.neverScanned}`;
}

function Nothing({ filtered, onClear }: { filtered: boolean; onClear: () => void }) {
  if (!filtered) {
    return (
      <EmptyState icon={FolderSearch} title={text.folders.emptyTitle}>
        {text.folders.emptyText}
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={FolderSearch} title={text.folders.noMatchTitle} action={<Button onClick={onClear}>{text.action.clearFilters}</Button>}>
      {text.folders.noMatchText}
    </EmptyState>
  );
}

