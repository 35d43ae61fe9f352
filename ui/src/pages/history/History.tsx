import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Download, History as HistoryIcon, ListX } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { useNavigate } from "react-router";

import { api, ask } from "../../api/client";
import { ALL_KINDS, type JobQuery, keys, queries, useFailed, useMe, useTasks } from "../../api/queries";
import { usePolling } from "../../api/sync";
import { ActionButton } from "../../components/ActionButton";
import { Field } from "../../components/Field";
import { PageHeader } from "../../components/PageHeader";
import { Pager } from "../../components/Pager";
import { SearchField } from "../../components/SearchField";
import { useListKeys } from "../../components/shortcuts";
import { EmptyState, ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { useRestore } from "../../components/useClear";
import { usePreferences } from "../../theme/preferences";
import { text } from "../../text/en";
import { historyText } from "../../text/enHistory";
import { paths } from "../../util/paths";
import { useListState } from "../../util/useListState";
import { EndedList } from "./EndedList";
import { asked, ENDED, type Ended, exportAddress, FILTERS, isFiltered, order, sorted, states } from "./historyFilter";

const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));
const RunningNow = lazy(() => import("./RunningNow"));
const PAGE_SIZE = 50;
/** Pixels that one running job takes, kept free while its code is fetched. */
const ONE_ROW = 224;

export function History() {
  const { query, set, page, setPage } = useListState();
  const { zone } = usePreferences();
  const me = useMe().data;
  const polling = usePolling();
  const active = useQuery({ ...queries.queue(), refetchInterval: polling }).data?.active_jobs ?? [];
  const running = [...active, ...useTasks(polling).tasks];
  const wanted = { kind: [...ALL_KINDS], ...asked(query, zone) };
  const jobs = useQuery({ ...queries.jobs({ ...wanted, limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE }), refetchInterval: polling });
  // Admins clear everybody's, others their own: so does the gateway.
  const clearable: JobQuery = { kind: [...ALL_KINDS], status: ["completed"], user: me?.is_admin ? undefined : me?.username, limit: 1, offset: 0 };
  const completed = useQuery({ ...queries.jobs(clearable), enabled: me !== undefined }).data?.total;
  const filtered = isFiltered(query);
  const [clearing, setClearing] = useState(false);
  const navigate = useNavigate();
  useListKeys((key, row) => {
    if (key !== "o" || !row) return false;
    void navigate(paths.job(row));
    return true;
  });
  const items = jobs.data?.items ?? [];
  return (
    <>
      <PageHeader
        title={text.history.title}
        subtitle={text.history.subtitle}
        actions={
          <>
            <Export address={exportAddress(wanted)} disabled={!jobs.data?.total} />
            <ActionButton
              variant="outlined"
              startIcon={<ListX size={16} aria-hidden />}
              disabled={!completed}
              title={completed === 0 ? (me?.is_admin ? text.history.clearNone : historyText.clearNoneOwn) : undefined}
              onClick={() => setClearing(true)}
            >
              {me?.is_admin === false ? historyText.clearOwn : text.history.clear}
            </ActionButton>
          </>
        }
      />
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.25, mb: 2 }}>
        <SearchField label={text.history.search} value={query.get("q") ?? ""} onChange={(q) => set({ q })} />
        <Filter chosen={states(query)} onChange={(chosen) => set({ status: chosen.join(",") })} />
        {me?.is_admin && <SearchField label={historyText.user} value={query.get("user") ?? ""} onChange={(user) => set({ user })} sx={{ flex: "0 1 160px" }} />}
        {(["from", "to"] as const).map((name) => (
          <Field key={name} label={historyText[name]} type="date" value={query.get(name) ?? ""} onChange={(event) => set({ [name]: event.target.value })} sx={{ width: 160 }} shrink />
        ))}
        {filtered && <Button onClick={() => set(Object.fromEntries(FILTERS.map((name) => [name, null])))}>{text.action.clearFilters}</Button>}
      </Box>
      <StaleNote query={jobs} />
      <Suspense fallback={<Box sx={{ minHeight: ONE_ROW }} />}>{running.length > 0 && <RunningNow jobs={running} />}</Suspense>
      {jobs.error && !jobs.data && <ErrorPanel error={jobs.error} onRetry={() => jobs.refetch()} />}
      {!jobs.error && !jobs.data && (
        <Card>
          <SkeletonRows />
        </Card>
      )}
      {jobs.data && items.length === 0 && (
        <Card>
          <EmptyState icon={HistoryIcon} title={filtered ? text.history.noMatchTitle : text.history.emptyTitle}>
            {filtered ? text.history.noMatchText : text.history.emptyText}
          </EmptyState>
        </Card>
      )}
      {items.length > 0 && <EndedList jobs={items} order={order(query)} onSort={(by) => set(sorted(query, by))} footer={<Pager page={page} size={PAGE_SIZE} total={jobs.data?.total ?? 0} onPage={setPage} />} />}
      <Suspense fallback={null}>{clearing && <Clear own={!me?.is_admin} n={completed ?? 0} onClose={() => setClearing(false)} />}</Suspense>
    </>
  );
}

/** Any of the states together; none of them is all. */
function Filter({ chosen, onChange }: { chosen: Ended[]; onChange: (chosen: Ended[]) => void }) {
  const failed = useFailed();
  return (
    <ToggleButtonGroup
      value={chosen.length > 0 ? chosen : ["all"]}
      onChange={(_, values: string[]) => {
        const next = ENDED.filter((status) => values.includes(status));
        onChange((chosen.length > 0 && values.includes("all")) || next.length === ENDED.length ? [] : next);
      }}
      aria-label={text.history.filter}
      size="small"
      sx={{ flexWrap: "wrap" }}
    >
      <ToggleButton value="all">{text.history.all}</ToggleButton>
      {ENDED.map((status) => (
        <ToggleButton key={status} value={status}>
          {text.history[status]}
          {status === "failed" && failed && (
            <Box component="span" sx={{ ml: 0.75, color: "error.main", fontWeight: 650 }}>
              {failed}
            </Box>
          )}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}

function Clear({ own, n, onClose }: { own: boolean; n: number; onClose: () => void }) {
  const client = useQueryClient();
  const restore = useRestore();
  const clear = useMutation({
    mutationFn: () => ask(api.DELETE("/api/jobs/completed", { params: { query: { kind: [...ALL_KINDS] } } })),
    onSuccess: ({ deleted_count, cleared_at }) => {
      toast(text.history.cleared(deleted_count), "success", () => void restore([cleared_at]));
      onClose();
      void client.invalidateQueries({ queryKey: keys.jobs });
      void client.invalidateQueries({ queryKey: keys.packs });
    },
  });
  return (
    <ConfirmDialog
      title={own ? historyText.clearOwnTitle : text.history.clearTitle}
      effects={[(own ? historyText.clearOwnText : text.history.clearText)(n), text.history.clearKept]}
      confirm={text.history.clearConfirm}
      typed={{ word: String(n), label: text.history.clearType(n) }}
      busy={clear.isPending}
      error={clear.error}
      onConfirm={() => clear.mutate()}
      onClose={onClose}
    />
  );
}

/** All that matches, written by the gateway while it is downloaded. */
function Export({ address, disabled }: { address: string; disabled: boolean }) {
  return (
    <Button
      component="a"
      href={address}
      download="cs-archiver-history.csv"
      variant="outlined"
      startIcon={<Download size={16} aria-hidden />}
      disabled={disabled}
    >
      {text.history.export}
    </Button>
  );
}
