import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Typography from "@mui/material/Typography";
import { CircleDashed, ShieldCheck, ShieldOff } from "lucide-react";
import { lazy, Suspense, useState } from "react";

import type { JobDetail, Verification } from "../../api/types";
import { hasEnded } from "../../api/jobCan";
import { useMe } from "../../api/queries";
import { ActionButton } from "../../components/ActionButton";
import { CopyText } from "../../components/CopyText";
import { jobText } from "../../text/enJob";
import { exactTime } from "../../util/time";
import { exactBytes } from "../../util/units";
import { KINDS, newest, provenCount } from "./proven";

const Release = lazy(() => import("./Release"));

/** The three independent proofs, with what was really seen. */
export function Proofs({ job }: { job: JobDetail }) {
  const rows = KINDS.map((kind) => [kind, newest(job.verifications, kind)] as const);
  const proven = provenCount(job);
  const admin = useMe().data?.is_admin;
  return (
    <Card component="section" aria-labelledby="proof-title" sx={{ p: 2.5 }}>
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "baseline", justifyContent: "space-between", columnGap: 2 }}>
        <Typography variant="h2" id="proof-title">
          {jobText.proof.title}
        </Typography>
        <Typography variant="caption" sx={{ color: proven === 3 ? "success.main" : "text.secondary", fontWeight: 600 }}>
          {jobText.proof.count(proven)}
        </Typography>
      </Box>
      <Typography variant="body2" sx={{ color: "text.secondary", mb: 1 }}>
        {jobText.proof.intro}
      </Typography>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0 }}>
        {rows.map(([kind, row]) => (
          <Proof key={kind} kind={kind} row={row} ended={hasEnded(job.status)} />
        ))}
      </Box>
      {admin && proven === KINDS.length && hasEnded(job.status) && <Releasing job={job} />}
    </Card>
  );
}

/** The place at the destination is kept for ever; only an administrator may give it up. */
function Releasing({ job }: { job: JobDetail }) {
  const [asked, setAsked] = useState(false);
  return (
    <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", gap: 1.5, pt: 1.5, borderTop: 1, borderColor: "divider" }}>
      <Typography variant="body2" sx={{ flex: "1 1 240px", color: "text.secondary" }}>
        {jobText.release.hint}
      </Typography>
      <ActionButton variant="outlined" onClick={() => setAsked(true)}>
        {jobText.release.ask}
      </ActionButton>
      <Suspense fallback={null}>{asked && <Release job={job} onClose={() => setAsked(false)} />}</Suspense>
    </Box>
  );
}

function look(row: Verification | undefined, ended: boolean) {
  if (!row) return { icon: CircleDashed, color: "text.secondary", word: ended ? jobText.proof.never : jobText.proof.pending };
  if (row.voided_at) return { icon: ShieldOff, color: "warning.main", word: jobText.proof.voided };
  return { icon: ShieldCheck, color: "success.main", word: jobText.proof.proven };
}

function Proof({ kind, row, ended }: { kind: Verification["kind"]; row: Verification | undefined; ended: boolean }) {
  const { icon: Icon, color, word } = look(row, ended);
  const once = kind === "content" && row && (row.evidence as Record<string, unknown>)["recheck_task_id"] === null;
  const explain = once ? jobText.proof.contentOnce : jobText.proof[`${kind}Text`];
  return (
    <Box component="li" data-proof={kind} data-proven={row && !row.voided_at ? "yes" : "no"} sx={{ display: "flex", gap: 1.5, py: 1.5, "& + &": { borderTop: 1, borderColor: "divider" } }}>
      <Box sx={{ color, flexShrink: 0, pt: "1px" }}>
        <Icon size={22} aria-hidden />
      </Box>
      <Box sx={{ flex: 1, minWidth: 0 }}>
        <Box sx={{ display: "flex", flexWrap: "wrap", columnGap: 1.5, alignItems: "baseline" }}>
          <Typography component="h3" sx={{ fontWeight: 600, fontSize: "0.9375rem", flex: "1 1 auto" }}>
            {jobText.proof[kind]}
          </Typography>
          <Typography component="span" variant="caption" sx={{ color, fontWeight: 600 }}>
            {word}
          </Typography>
        </Box>
        <Typography variant="body2" sx={{ color: "text.secondary" }}>
          {explain}
        </Typography>
        {row && <Evidence row={row} />}
      </Box>
    </Box>
  );
}

function shown(key: string, value: unknown): string {
  if (typeof value === "number") return key.endsWith("_size") ? exactBytes(value) : String(value);
  if (key === "completion_time" && typeof value === "string") return exactTime(value);
  return typeof value === "string" ? (jobText.proof.values[value] ?? value) : JSON.stringify(value);
}

function Evidence({ row }: { row: Verification }) {
  const order = Object.keys(jobText.proof.keys);
  const facts = Object.entries(row.evidence as Record<string, unknown>)
    .filter(([, value]) => value !== null)
    .toSorted(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  return (
    <Box component="details" sx={{ mt: 0.5 }}>
      <Box component="summary" sx={{ cursor: "pointer", fontSize: "0.8125rem", fontWeight: 580, color: "primary.main", minHeight: 24, lineHeight: "24px", "@media (pointer: coarse)": { lineHeight: "44px" }, width: "fit-content" }}>
        {jobText.proof.evidence}
      </Box>
      <Box component="dl" sx={{ m: 0, mt: 0.75, p: 1.5, borderRadius: "8px", backgroundColor: "background.raised", display: "grid", gridTemplateColumns: { xs: "minmax(0, 1fr)", sm: "minmax(150px, auto) minmax(0, 1fr)" }, columnGap: 2, rowGap: 0.5, fontSize: "0.8125rem" }}>
        {facts.map(([key, value]) => (
          <Box key={key} sx={{ display: "contents" }}>
            <Box component="dt" sx={{ color: "text.secondary" }}>
              {jobText.proof.keys[key] ?? key}
            </Box>
            <Box component="dd" sx={{ m: 0 }}>
              {key.endsWith("_id") ? <CopyText value={shown(key, value)} what={jobText.proof.keys[key] ?? key} /> : shown(key, value)}
            </Box>
          </Box>
        ))}
      </Box>
      <Typography variant="caption" component="p" sx={{ color: "text.secondary", mt: 0.5 }}>
        {jobText.proof.at(exactTime(row.at))}
      </Typography>
    </Box>
  );
}
