import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Checkbox from "@mui/material/Checkbox";
import { useQuery } from "@tanstack/react-query";
import { RefreshCw } from "lucide-react";
import { lazy, type ReactNode, Suspense, useRef, useState } from "react";
import { Link, useNavigate } from "react-router";

import { fileQueries, type FileQuery, type Sort, SORTS } from "../../api/files";
import { usePolling } from "../../api/sync";
import type { FileEntry } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { PageHeader } from "../../components/PageHeader";
import { Pager } from "../../components/Pager";
import { SearchField } from "../../components/SearchField";
import { useListKeys } from "../../components/shortcuts";
import { SkeletonRows, StaleNote } from "../../components/states";
import { text as common } from "../../text/en";
import { filesText as text } from "../../text/enFiles";
import { isShown } from "../../util/files";
import { paths } from "../../util/paths";
import { useListState } from "../../util/useListState";
import { hasRows, useRows, useVeryWide } from "../../util/useWide";
import { Crumbs } from "./Crumbs";
import { between, type ListProps, type MenuPlace, type Place, type Question } from "./offer";
import { FullNote, Space } from "./Space";
import { TaskTray } from "./TaskTray";
import { UploadButtons } from "./UploadButtons";

const fetchTable = () => import("./FileTable");
const fetchCards = () => import("./FileCards");
const FileTable = lazy(fetchTable);
const FileCards = lazy(fetchCards);
void (hasRows() ? fetchTable() : fetchCards()); // while the first folder is read
const DragMove = lazy(() => import("./DragMove"));
const Instead = lazy(() => import("./Instead"));
const FolderTree = lazy(() => import("./FolderTree"));
const FileMenu = lazy(() => import("./FileMenu"));
const Questions = lazy(() => import("./Questions"));
const SelectionBar = lazy(() => import("./SelectionBar"));
const UploadPanel = lazy(() => import("./UploadPanel"));
const PAGE_SIZE = 50;

function useFileQuery() {
  const state = useListState();
  const { query } = state;
  const q = query.get("q") ?? undefined;
  const asked: FileQuery = {
    root: query.get("root") === "nas" ? "nas" : "workspace",
    path: query.get("path") ?? "",
    q,
    recursive: q && query.get("deep") ? true : undefined,
    sort: SORTS.find((known) => known === query.get("sort")) ?? "name",
    order: query.get("order") === "desc" ? "desc" : "asc",
    limit: PAGE_SIZE,
    offset: (state.page - 1) * PAGE_SIZE,
  };
  return { ...state, asked };
}

/** What is chosen in this folder; another folder begins with nothing. As in a file manager: one row alone, one more, or a range. */
function useSelection(folder: string, entries: FileEntry[]) {
  const last = useRef<string | null>(null);
  const [state, setState] = useState<{ folder: string; chosen: ReadonlyMap<string, FileEntry> }>({ folder, chosen: new Map() });
  const selected = state.folder === folder ? state.chosen : new Map<string, FileEntry>();
  const toggle = (some: FileEntry[], on: boolean) => {
    const next = new Map(selected);
    for (const entry of some) {
      if (on && entry.reachable) next.set(entry.path, entry);
      else next.delete(entry.path);
    }
    setState({ folder, chosen: next });
  };
  const only = (entry: FileEntry) => {
    last.current = entry.path;
    setState({ folder, chosen: new Map(entry.reachable ? [[entry.path, entry]] : []) });
  };
  const pick = (entry: FileEntry, on: boolean, range: boolean) => {
    toggle(range ? between(entries, last.current, entry) : [entry], on);
    last.current = entry.path;
  };
  return { selected, toggle, pick, only, clear: () => setState({ folder, chosen: new Map() }) };
}

/** What is asked belongs to the folder it was asked in: the way back closes it. */
function useQuestion(folder: string) {
  const [state, setState] = useState<{ folder: string; question: Question } | null>(null);
  const ask = (question: Question) => setState({ folder, question });
  return { question: state?.folder === folder ? state.question : null, ask, close: () => setState(null) };
}

export function Files() {
  const { asked, query, set, page, setPage } = useFileQuery();
  const list = useQuery({ ...fileQueries.list(asked), refetchInterval: usePolling() });
  const entries = list.data?.items ?? [];
  const here = `${asked.root}:${asked.path}`;
  const { selected, toggle, pick, only, clear } = useSelection(here, entries);
  const { question, ask, close } = useQuestion(here);
  const [menu, setMenu] = useState<MenuPlace | null>(null);
  const navigate = useNavigate();
  const rows = useRows();
  const own = asked.root === "workspace";

  const open = (entry: FileEntry) => {
    if (entry.is_dir) void navigate(paths.files({ root: own ? undefined : asked.root, path: entry.path }));
    else if (isShown(entry, asked.root)) ask({ about: "preview", entry });
  };
  useListKeys((key, row) => {
    const entry = entries.find((item) => item.path === row);
    if (key === "x" && entry) pick(entry, !selected.has(entry.path), false);
    else if (key === "X" && entry) pick(entry, true, true);
    else if (key === "o" && entry?.reachable) open(entry);
    else if (key === "." && entry?.reachable) setMenu({ entry, anchor: document.querySelector<HTMLElement>(`[data-row="${CSS.escape(entry.path)}"]`) ?? undefined });
    else if (key === "r") void list.refetch();
    else if (key === "Escape") clear();
    else return false;
    return true;
  });

  const shared: ListProps = {
    entries,
    asked,
    selected,
    onToggle: toggle,
    onPick: pick,
    onOnly: only,
    onSort: (sort: Sort) => set({ sort, order: asked.sort === sort && asked.order === "asc" ? "desc" : null }),
    onOpen: open,
    onMenu: setMenu,
  };
  const pager = <Pager page={page} size={PAGE_SIZE} total={list.data?.total ?? 0} onPage={setPage} />;
  return (
    <>
      <PageHeader
        title={text.title}
        subtitle={own ? <Space /> : <Box sx={{ minHeight: 34 }}>{text.nasHint}</Box>}
        actions={
          <>
            <TaskTray />
            {own && <UploadButtons folder={asked.path} onNewFolder={() => ask({ about: "folder" })} />}
          </>
        }
      />
      <Roots root={asked.root} />
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.25, mb: 1.5 }}>
        <SearchField label={text.search} value={asked.q ?? ""} onChange={(q) => set({ q })} />
        <Box component="label" sx={{ display: "inline-flex", alignItems: "center", fontSize: "0.875rem", minHeight: 36 }}>
          <Checkbox checked={Boolean(query.get("deep"))} onChange={(_, on) => set({ deep: on ? "1" : null })} />
          {text.deep}
        </Box>
        <ActionButton startIcon={<RefreshCw size={16} aria-hidden />} onClick={() => void list.refetch()} loading={list.isRefetching} loadingPosition="start">
          {common.action.refresh}
        </ActionButton>
      </Box>
      <Box sx={{ mb: 1.5 }}>
        <Crumbs root={asked.root} path={asked.path} />
      </Box>
      {own && <FullNote />}
      <StaleNote query={list} />
      {list.data?.complete === false && (
        <Alert severity="info" sx={{ mb: 2 }}>
          {text.incomplete}
        </Alert>
      )}
      <Suspense fallback={null}>{own && <UploadPanel folder={asked.path} />}</Suspense>
      <Beside root={asked.root} path={asked.path}>
        {!list.error && !list.data && (
          <Card>
            <SkeletonRows />
          </Card>
        )}
        {(list.data ? entries.length === 0 : list.error) && (
          <Suspense fallback={<SkeletonRows />}>
            <Instead error={list.data ? null : list.error} asked={asked} onRetry={() => void list.refetch()} onClear={() => set({ q: null, deep: null })} />
          </Suspense>
        )}
        {entries.length > 0 && (
          <Box sx={{ opacity: list.isPlaceholderData ? 0.6 : 1, transition: "opacity 0.15s" }}>
            <Suspense fallback={<SkeletonRows />}>
              {rows ? (
                <Card>
                  <FileTable {...shared} />
                  {pager}
                </Card>
              ) : (
                <>
                  <FileCards {...shared} />
                  {pager}
                </>
              )}
            </Suspense>
          </Box>
        )}
      </Beside>
      <Suspense fallback={null}>{own && entries.length > 0 && <DragMove entries={entries} selected={selected} onGone={clear} />}</Suspense>
      <Suspense fallback={null}>{selected.size > 0 && <SelectionBar entries={[...selected.values()]} own={own} onClear={clear} onAsk={ask} />}</Suspense>
      <Suspense fallback={null}>
        {menu && <FileMenu menu={menu} entries={menu.at && selected.has(menu.entry.path) ? [...selected.values()] : [menu.entry]} root={asked.root} onClose={() => setMenu(null)} onAsk={ask} onOpen={open} />}
        {question && <Questions question={question} place={asked} entries={entries} onAsk={ask} onClose={close} onGone={clear} />}
      </Suspense>
    </>
  );
}

/** The tree stands beside the list where there is room; elsewhere it unfolds above it. */
function Beside({ root, path, children }: Place & { children: ReactNode }) {
  const [unfolded, setUnfolded] = useState(false);
  const room = useVeryWide();
  const tree = (
    <Suspense fallback={null}>
      <FolderTree key={root} root={root} path={path} />
    </Suspense>
  );
  if (room) {
    return (
      <Box sx={{ display: "grid", gridTemplateColumns: "232px minmax(0, 1fr)", gap: 2, alignItems: "start" }}>
        <Card component="nav" aria-label={text.tree.label} sx={{ minHeight: 46 }}>
          {tree}
        </Card>
        <div>{children}</div>
      </Box>
    );
  }
  return (
    <>
      <Card component="details" sx={{ mb: 1.5 }} onToggle={(event) => setUnfolded((event.currentTarget as HTMLDetailsElement).open)}>
        <Box component="summary" sx={{ px: 1.5, fontSize: "0.9375rem", fontWeight: 560, lineHeight: "44px", cursor: "pointer" }}>
          {text.tree.label}
        </Box>
        {unfolded && tree}
      </Card>
      {children}
    </>
  );
}

/** The two places there are; a link each, so that both have an address. */
function Roots({ root }: { root: FileQuery["root"] }) {
  return (
    <Box component="nav" aria-label={text.root.label} sx={{ display: "flex", gap: 2.5, mb: 2, borderBottom: 1, borderColor: "divider" }}>
      {(["workspace", "nas"] as const).map((name) => (
        <Box
          key={name}
          component={Link}
          to={paths.files({ root: name === "nas" ? name : undefined })}
          aria-current={root === name ? "page" : undefined}
          sx={{
            py: 1,
            minHeight: 44,
            display: "inline-flex",
            alignItems: "center",
            fontSize: "0.9375rem",
            fontWeight: 580,
            textDecoration: "none",
            color: root === name ? "primary.main" : "text.secondary",
            boxShadow: root === name ? "inset 0 -2px 0 var(--mui-palette-primary-main)" : "none",
            "@media (forced-colors: active)": root === name ? { borderBottom: "2px solid Highlight" } : {},
          }}
        >
          {text.root[name]}
        </Box>
      ))}
    </Box>
  );
}
