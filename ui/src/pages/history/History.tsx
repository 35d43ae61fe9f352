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
import { keys, queries } from "../../api/queries";
import { usePolling } from "../../api/sync";
import type { Status } from "../../api/types";
import { PageHeader } from "../../components/PageHeader";
import { Pager } from "../../components/Pager";
import { SearchField } from "../../components/SearchField";
import { useListKeys } from "../../components/shortcuts";
import { EmptyState, ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { useRestore } from "../../components/useClear";
import { text } from "../../text/en";
import { paths } from "../../util/paths";
import { count } from "../../util/units";
import { useListState } from "../../util/useListState";
import { EndedList } from "./EndedList";

const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));
const PAGE_SIZE = 50;
const ENDED = ["completed", "failed", "cancelled"] as const satisfies readonly Status[];

export function History() {
  const { query, set, page, setPage } = useListState();
  const only = ENDED.find((status) => status === query.get("status")) ?? null;
  const status: Status[] = only ? [only] : [...ENDED];
  const q = query.get("q") ?? undefined;
  const jobs = useQuery({ ...queries.jobs({ status, q, limit: PAGE_SIZE, offset: (page - 1) * PAGE_SIZE }), refetchInterval: usePolling() });
  const completed = useQuery(queries.jobs({ status: ["completed"], limit: 1, offset: 0 })).data?.total;
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
            <Export status={status} q={q} disabled={!jobs.data?.total} />
            <Button
              variant="outlined"
              startIcon={<ListX size={16} aria-hidden />}
              disabled={!completed}
              title={completed === 0 ? text.history.clearNone : undefined}
              onClick={() => setClearing(true)}
            >
              {text.history.clear}
            </Button>
          </>
        }
      />
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.25, mb: 2 }}>
        <SearchField label={text.history.search} value={q ?? ""} onChange={(next) => set({ q: next })} />
        <Filter only={only} onChange={(next) => set({ status: next })} />
      </Box>
      <StaleNote query={jobs} />
      {jobs.error && !jobs.data && <ErrorPanel error={jobs.error} onRetry={() => jobs.refetch()} />}
      {!jobs.error && !jobs.data && (
        <Card>
          <SkeletonRows />
        </Card>
      )}
      {jobs.data && items.length === 0 && (
        <Card>
          <EmptyState icon={HistoryIcon} title={only || q ? text.history.noMatchTitle : text.history.emptyTitle}>
            {only || q ? text.history.noMatchText : text.history.emptyText}
          </EmptyState>
        </Card>
      )}
      {items.length > 0 && <EndedList jobs={items} footer={<Pager page={page} size={PAGE_SIZE} total={jobs.data?.total ?? 0} onPage={setPage} />} />}
      <Suspense fallback={null}>{clearing && <Clear n={completed ?? 0} onClose={() => setClearing(false)} />}</Suspense>
    </>
  );
}

function Filter({ only, onChange }: { only: (typeof ENDED)[number] | null; onChange: (status: string | null) => void }) {
  const numbers = useQuery(queries.system()).data?.statistics;
  const failed = numbers?.failed_jobs ?? 0;
  return (
    <ToggleButtonGroup
      exclusive
      value={only ?? "all"}
      onChange={(_, value: string | null) => value && onChange(value === "all" ? null : value)}
      aria-label={text.history.filter}
      size="small"
      sx={{ flexWrap: "wrap" }}
    >
      <ToggleButton value="all">{text.history.all}</ToggleButton>
      {ENDED.map((status) => (
        <ToggleButton key={status} value={status}>
          {text.history[status]}
          {status === "failed" && failed > 0 && (
            <Box component="span" sx={{ ml: 0.75, color: "error.main", fontWeight: 650 }}>
              {count(failed)}
            </Box>
          )}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}

function Clear({ n, onClose }: { n: number; onClose: () => void }) {
  const client = useQueryClient();
  const restore = useRestore();
  const clear = useMutation({
    mutationFn: () => ask(api.DELETE("/api/jobs/completed")),
    onSuccess: ({ deleted_count, cleared_at }) => {
      toast(text.history.cleared(deleted_count), "success", () => void restore(cleared_at));
      onClose();
      void client.invalidateQueries({ queryKey: keys.jobs });
    },
  });
  return (
    <ConfirmDialog
      title={text.history.clearTitle}
      effects={[text.history.clearText(n), text.history.clearKept]}
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
function Export({ status, q, disabled }: { status: Status[]; q: string | undefined; disabled: boolean }) {
  const query = new URLSearchParams({ format: "csv", status: status.join(","), ...(q ? { q } : {}) });
  return (
    <Button
      component="a"
      href={`/api/jobs?${query}`}
      download="cs-archiver-history.csv"
      variant="outlined"
      startIcon={<Download size={16} aria-hidden />}
      disabled={disabled}
    >
      {text.history.export}
    </Button>
  );
}
