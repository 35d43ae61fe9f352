import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ScrollText } from "lucide-react";
import { lazy, Suspense, useEffect, useState } from "react";
import { Link as RouterLink } from "react-router";

import { api, ApiError, ask } from "../../api/client";
import { keys, queries } from "../../api/queries";
import type { Setting } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { AdminOnly } from "../../components/AdminOnly";
import { BulkBar } from "../../components/BulkBar";
import { PageHeader } from "../../components/PageHeader";
import { Section } from "../../components/Section";
import { ErrorPanel, SkeletonRows, StaleNote } from "../../components/states";
import { toast } from "../../components/toasts";
import { adminText } from "../../text/enAdmin";
import { guardPage } from "../../util/history";
import { paths } from "../../util/paths";
import { changesOf, type Draft, grouped, label, said, update } from "./configForm";
import { SettingField } from "./SettingField";

const ConfirmDialog = lazy(() => import("../../components/ConfirmDialog"));

export function Configuration() {
  return (
    <AdminOnly>
      <Form />
    </AdminOnly>
  );
}

function Form() {
  const read = useQuery(queries.settings());
  return (
    <Box sx={{ maxWidth: 980 }}>
      <PageHeader
        title={adminText.config.title}
        subtitle={adminText.config.subtitle}
        actions={
          <Button component={RouterLink} to={paths.adminAudit({ action: "settings_changed" })} variant="outlined" startIcon={<ScrollText size={16} aria-hidden />}>
            {adminText.config.history}
          </Button>
        }
      />
      <StaleNote query={read} />
      {read.error && !read.data && <ErrorPanel error={read.error} onRetry={() => read.refetch()} />}
      {!read.error && !read.data && <SkeletonRows rows={10} height={64} />}
      {read.data && <Fields settings={read.data} />}
    </Box>
  );
}

function useSave(settings: Setting[], draft: Draft, onDone: () => void) {
  const client = useQueryClient();
  const { changes } = changesOf(settings, draft);
  return useMutation({
    mutationFn: () => ask(api.PUT("/api/config", { body: update(changes) as { reset: string[] } })),
    onSuccess: async () => {
      const saved = changes.length;
      await client.invalidateQueries({ queryKey: keys.settings });
      onDone();
      toast(adminText.config.saved(saved));
    },
  });
}

function Fields({ settings }: { settings: Setting[] }) {
  const [draft, setDraft] = useState<Draft>({});
  const [asked, setAsked] = useState(false);
  const save = useSave(settings, draft, () => {
    setDraft({});
    setAsked(false);
  });
  const { changes, problems } = changesOf(settings, draft);
  const refused = save.error instanceof ApiError ? save.error.fields : {};
  const wrong = Object.keys(problems).length;
  const dirty = changes.length + wrong > 0;
  const set = (name: string, value: string | null | undefined) => {
    save.reset();
    setDraft((old) => ({ ...old, [name]: value }));
  };
  const submit = () => {
    setAsked(true);
    if (wrong === 0) save.mutate();
    else document.querySelector<HTMLElement>("[data-setting] [aria-invalid=true]")?.focus();
  };
  return (
    <Box
      component="form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
      sx={{ display: "grid", gap: 2, gridTemplateColumns: "minmax(0, 1fr)" }}
    >
      {grouped(settings).map((group) => (
        <Section key={group.title} title={group.title}>
          {group.settings.map((setting) => (
            <SettingField
              key={setting.name}
              setting={setting}
              draft={draft[setting.name]}
              problem={refused[setting.name] ?? problems[setting.name]}
              onChange={(value) => set(setting.name, value)}
            />
          ))}
        </Section>
      ))}
      {dirty && (
        <BulkBar
          label={adminText.config.bar}
          actions={
            <>
              <Button
                onClick={() => {
                  save.reset();
                  setDraft({});
                }}
                disabled={save.isPending}
              >
                {adminText.config.discard}
              </Button>
              <ActionButton type="submit" variant="contained" loading={save.isPending} disabled={changes.length === 0 && wrong === 0}>
                {adminText.config.save}
              </ActionButton>
            </>
          }
        >
          {adminText.config.changes(changes.length + wrong)}
          <Box component="ul" sx={{ m: 0, pl: 2.25, fontWeight: 400, fontSize: "0.8125rem", color: "text.secondary", maxHeight: 120, overflowY: "auto" }}>
            {changes.map(({ setting, to }) => (
              <li key={setting.name}>{adminText.config.change(label(setting), said(setting, setting.value), said(setting, to))}</li>
            ))}
          </Box>
          {asked && wrong > 0 && (
            <Box component="p" role="alert" sx={{ m: 0, color: "error.main", fontSize: "0.8125rem" }}>
              {adminText.config.invalid(wrong)}
            </Box>
          )}
          {save.error && (
            <Alert severity="error" role="alert" sx={{ mt: 1 }}>
              {save.error.message}
            </Alert>
          )}
        </BulkBar>
      )}
      <LeaveGuard changes={dirty ? changes.length + wrong : 0} />
    </Box>
  );
}

/** What was typed is not lost by a wrong click: neither within the app nor by closing the tab. */
function LeaveGuard({ changes }: { changes: number }) {
  const [held, setHeld] = useState<{ leave: () => void } | null>(null);
  const guarded = changes > 0;
  useEffect(() => {
    if (!guarded) return;
    const hold = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", hold);
    const release = guardPage((leave) => setHeld({ leave }));
    return () => {
      window.removeEventListener("beforeunload", hold);
      release();
    };
  }, [guarded]);
  if (!held) return null;
  return (
    <Suspense fallback={null}>
      <ConfirmDialog
        title={adminText.config.leaveTitle}
        effects={[adminText.config.leaveText(changes)]}
        confirm={adminText.config.leave}
        keep={adminText.config.stay}
        busy={false}
        error={null}
        onConfirm={held.leave}
        onClose={() => setHeld(null)}
      />
    </Suspense>
  );
}
