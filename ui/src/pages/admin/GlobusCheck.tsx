import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { CircleCheck, CircleX, FlaskConical, Globe, PlugZap } from "lucide-react";

import { queries } from "../../api/queries";
import type { GlobusStatus } from "../../api/types";
import { ActionButton } from "../../components/ActionButton";
import { CopyText } from "../../components/CopyText";
import { Section } from "../../components/Section";
import { ErrorPanel } from "../../components/states";
import { adminText } from "../../text/enAdmin";
import { ago } from "../../util/time";
import { useNow } from "../../util/useNow";

/** On demand: it asks Globus, which may take seconds. Whether it is the emulator is said before anything is asked. */
export function GlobusCheck({ emulated }: { emulated: boolean }) {
  const check = useQuery(queries.globus());
  const now = useNow(10_000);
  const Icon = emulated ? FlaskConical : Globe;
  return (
    <Section
      title={adminText.system.globus}
      hint={adminText.system.globusText}
      action={
        <ActionButton variant="outlined" startIcon={<PlugZap size={16} aria-hidden />} loading={check.isFetching} loadingPosition="start" onClick={() => void check.refetch()}>
          {check.isFetching ? adminText.system.checking : adminText.system.check}
        </ActionButton>
      }
    >
      <Typography variant="body2" data-globus={emulated ? "emulated" : "real"} sx={{ display: "flex", gap: 1, fontWeight: 560, color: emulated ? "warning.main" : "text.primary" }}>
        <Icon size={17} aria-hidden style={{ flexShrink: 0, marginTop: 2 }} />
        {emulated ? adminText.system.emulated : adminText.system.real}
      </Typography>
      {check.error && <ErrorPanel error={check.error} />}
      {check.data && !check.error && <Found seen={check.data} at={ago(new Date(check.dataUpdatedAt).toISOString(), now)} />}
    </Section>
  );
}

function Found({ seen, at }: { seen: GlobusStatus; at: string }) {
  return (
    <>
      <Alert severity={seen.ok ? "success" : "error"} role="status">
        <Typography component="p" sx={{ fontWeight: 600, fontSize: "0.875rem" }}>
          {seen.ok ? adminText.system.checkOk : adminText.system.checkBad}
        </Typography>
        {seen.problems.map((problem) => (
          <Typography component="p" variant="body2" key={problem}>
            {problem}
          </Typography>
        ))}
        <Typography component="p" variant="caption" sx={{ opacity: 0.85 }}>
          {adminText.system.checkedAt(at)}
        </Typography>
      </Alert>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, "& > li + li": { borderTop: 1, borderColor: "divider" } }}>
        <Side name={adminText.system.source} end={seen.source} />
        <Listed name={adminText.system.sourceListed} ok={seen.source_listed} />
        <Side name={adminText.system.destination} end={seen.destination} />
        <Listed name={adminText.system.destinationListed} ok={seen.destination_listed} />
      </Box>
      <Box sx={{ fontSize: "0.8125rem", color: "text.secondary" }}>
        {adminText.system.address}
        <CopyText value={seen.transfer_url} what={adminText.system.address} />
      </Box>
    </>
  );
}

function Mark({ ok }: { ok: boolean }) {
  const Icon = ok ? CircleCheck : CircleX;
  return (
    <Box component="span" role="img" aria-label={ok ? adminText.system.yes : adminText.system.no} sx={{ display: "inline-flex", color: ok ? "success.main" : "error.main", pt: "2px" }}>
      <Icon size={17} aria-hidden />
    </Box>
  );
}

const rowLook = { display: "flex", gap: 1.25, py: 1, fontSize: "0.875rem" } as const;

function Side({ name, end }: { name: string; end: GlobusStatus["source"] }) {
  const more = [
    end?.entity_type?.replaceAll("_", " "),
    end?.high_assurance ? adminText.system.highAssurance : null,
    end?.connected === null || end?.connected === undefined ? null : end.connected ? adminText.system.connected : adminText.system.notConnected,
  ].filter(Boolean);
  return (
    <Box component="li" sx={rowLook}>
      <Mark ok={end !== null} />
      <Box sx={{ minWidth: 0 }}>
        <Box sx={{ fontWeight: 580 }}>
          {name}: {end ? (end.display_name ?? end.id) : adminText.system.notSeen}
        </Box>
        {end && <CopyText value={end.id} what={name} />}
        {more.length > 0 && (
          <Typography component="span" variant="caption" sx={{ color: "text.secondary" }}>
            {more.join(" · ")}
          </Typography>
        )}
      </Box>
    </Box>
  );
}

function Listed({ name, ok }: { name: string; ok: boolean }) {
  return (
    <Box component="li" sx={rowLook} data-listed={ok ? "yes" : "no"}>
      <Mark ok={ok} />
      <Box sx={{ minWidth: 0 }}>
        <Box sx={{ fontWeight: 580 }}>{name}</Box>
        {!ok && (
          <Typography component="span" variant="caption" sx={{ color: "text.secondary" }}>
            {adminText.system.consent}
          </Typography>
        )}
      </Box>
    </Box>
  );
}
