import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import Card from "@mui/material/Card";
import { useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight, ChevronsLeft, Download, ScrollText } from "lucide-react";
import { useLocation, useSearchParams } from "react-router";

import { type AuditPage, queries } from "../../api/queries";
import { AdminOnly } from "../../components/AdminOnly";
import { Field } from "../../components/Field";
import { Pick } from "../../components/Pick";
import { PageHeader } from "../../components/PageHeader";
import { SearchField } from "../../components/SearchField";
import { EmptyState, ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { usePreferences } from "../../theme/preferences";
import { text } from "../../text/en";
import { adminText } from "../../text/enAdmin";
import { AuditList } from "./AuditList";
import { asked, exportAddress, isFiltered } from "./auditFilter";

const ACTIONS: readonly (readonly [string, string])[] = [["", adminText.audit.allActions], ...Object.entries(adminText.audit.actions)];

export function Audit() {
  return (
    <AdminOnly>
      <Log />
    </AdminOnly>
  );
}

function Log() {
  const [query, setQuery] = useSearchParams();
  const { zone } = usePreferences();
  const wanted = asked(query, zone);
  const log = useQuery(queries.audit(wanted));
  /** Another filter begins at the newest entry again. */
  const set = (name: string, value: string) =>
    setQuery(
      () => {
        const next = new URLSearchParams(window.location.search); // the address itself: what was drawn may be older
        next.delete("cursor");
        if (value) next.set(name, value);
        else next.delete(name);
        return next;
      },
      { replace: true },
    );
  const page = log.data;
  return (
    <>
      <PageHeader
        title={adminText.audit.title}
        subtitle={adminText.audit.subtitle}
        actions={(["csv", "ndjson"] as const).map((kind) => (
          <Button
            key={kind}
            component="a"
            href={exportAddress(wanted, kind)}
            download={`cs-archiver-audit.${kind}`}
            variant="outlined"
            startIcon={<Download size={16} aria-hidden />}
            disabled={!page?.total}
            aria-label={adminText.audit.export(adminText.audit[kind])}
          >
            {adminText.audit[kind]}
          </Button>
        ))}
      />
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.25, mb: 2 }}>
        <SearchField label={adminText.audit.search} value={query.get("q") ?? ""} onChange={(q) => set("q", q)} />
        <Pick label={adminText.audit.action} value={query.get("action") ?? ""} options={withUnknown(query.get("action"))} onChange={(action) => set("action", action)} sx={{ minWidth: 170 }} />
        <SearchField label={adminText.audit.actor} value={query.get("actor") ?? ""} onChange={(actor) => set("actor", actor)} sx={{ flex: "0 1 160px" }} />
        {(["from", "to"] as const).map((name) => (
          <Field key={name} label={adminText.audit[name]} type="date" value={query.get(name) ?? ""} onChange={(event) => set(name, event.target.value)} sx={{ width: 160 }} shrink />
        ))}
        {isFiltered(query) && (
          <Button onClick={() => setQuery({}, { replace: true })}>{text.action.clearFilters}</Button>
        )}
      </Box>
      <StaleNote query={log} />
      {log.error && !page && <ErrorPanel error={log.error} onRetry={() => log.refetch()} />}
      {!log.error && !page && (
        <Card>
          <SkeletonRows />
        </Card>
      )}
      {page && page.items.length === 0 && (
        <Card>
          <EmptyState icon={ScrollText} title={isFiltered(query) ? adminText.audit.noMatchTitle : adminText.audit.emptyTitle}>
            {isFiltered(query) ? adminText.audit.noMatchText : null}
          </EmptyState>
        </Card>
      )}
      {page && page.items.length > 0 && (
        <Box sx={{ opacity: log.isPlaceholderData ? 0.6 : 1, transition: "opacity 0.15s" }}>
          <AuditList entries={page.items} footer={<Pages page={page} />} />
        </Box>
      )}
    </>
  );
}

/** An action that came by address stays visible in the list, even if this page has no word for it. */
function withUnknown(action: string | null): readonly (readonly [string, string])[] {
  return !action || ACTIONS.some(([known]) => known === action) ? ACTIONS : [...ACTIONS, [action, action]];
}

/** From cursor to cursor: each page costs the same, however deep. The way back is remembered with the entry of the browser's history. */
function Pages({ page }: { page: AuditPage }) {
  const [query, setQuery] = useSearchParams();
  const trail = ((useLocation().state as { trail?: string[] } | null)?.trail ?? []) as string[];
  const cursor = query.get("cursor") ?? "";
  const go = (to: string, left: string[]) => {
    setQuery(
      (old) => {
        const next = new URLSearchParams(old);
        if (to) next.set("cursor", to);
        else next.delete("cursor");
        return next;
      },
      { state: { trail: left } },
    );
    window.scrollTo(0, 0);
  };
  return (
    <Box component="nav" aria-label={adminText.audit.pages} sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1, px: 2, py: 1 }}>
      <Box component="span" sx={{ flex: 1, fontSize: "0.8125rem", color: "text.secondary" }}>
        {adminText.audit.total(page.total, page.exact)}
      </Box>
      {cursor && (
        <Button size="small" startIcon={<ChevronsLeft size={16} aria-hidden />} onClick={() => go("", [])}>
          {adminText.audit.newest}
        </Button>
      )}
      {cursor && trail.length > 0 && (
        <Button size="small" startIcon={<ChevronLeft size={16} aria-hidden />} onClick={() => go(trail.at(-1) ?? "", trail.slice(0, -1))}>
          {adminText.audit.newer}
        </Button>
      )}
      {page.next && (
        <Button size="small" endIcon={<ChevronRight size={16} aria-hidden />} onClick={() => go(page.next ?? "", [...trail, cursor])}>
          {adminText.audit.older}
        </Button>
      )}
    </Box>
  );
}

