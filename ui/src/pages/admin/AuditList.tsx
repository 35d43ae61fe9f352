import Box from "@mui/material/Box";
import Card from "@mui/material/Card";
import Link from "@mui/material/Link";
import Table from "@mui/material/Table";
import TableBody from "@mui/material/TableBody";
import TableCell from "@mui/material/TableCell";
import TableHead from "@mui/material/TableHead";
import TableRow from "@mui/material/TableRow";
import Typography from "@mui/material/Typography";
import type { ReactNode } from "react";
import { Link as RouterLink } from "react-router";

import type { AuditEntry } from "../../api/types";
import { adminText } from "../../text/enAdmin";
import { MONO } from "../../theme/theme";
import { paths } from "../../util/paths";
import { dateTime, exactTime } from "../../util/time";
import { useWide } from "../../util/useWide";

export function AuditList({ entries, footer }: { entries: AuditEntry[]; footer: ReactNode }) {
  return useWide() ? <AuditTable entries={entries} footer={footer} /> : <AuditCards entries={entries} footer={footer} />;
}

function action(entry: AuditEntry): string {
  return adminText.audit.actions[entry.action] ?? entry.action;
}

function via(entry: AuditEntry): string {
  return adminText.audit.via[entry.via] ?? entry.via;
}

/** The sentence, and on demand what programs read. */
function Deed({ entry }: { entry: AuditEntry }) {
  const job = entry.action.startsWith("job_") && entry.target;
  const facts = [entry.action, entry.target, ...(Object.keys(entry.data).length > 0 ? [JSON.stringify(entry.data, null, 1)] : []), adminText.audit.request(entry.request_id)].filter(Boolean);
  return (
    <>
      {job ? (
        <Link component={RouterLink} to={paths.job(entry.target)} sx={{ color: "text.primary" }}>
          {entry.message}
        </Link>
      ) : (
        entry.message
      )}
      <Box component="details" sx={{ fontSize: "0.8125rem", color: "text.secondary" }}>
        <Box component="summary" sx={{ cursor: "pointer", minHeight: 24, width: "fit-content", "@media (pointer: coarse)": { minHeight: 44, alignContent: "center" } }}>
          {adminText.audit.details}
        </Box>
        <Box sx={{ fontFamily: MONO, fontSize: "0.75rem", whiteSpace: "pre-wrap", overflowWrap: "anywhere", p: 1, borderRadius: "8px", backgroundColor: "background.raised" }}>{facts.join("\n")}</Box>
      </Box>
    </>
  );
}

function AuditTable({ entries, footer }: { entries: AuditEntry[]; footer: ReactNode }) {
  return (
    <Card>
      <Table aria-label={adminText.audit.title} sx={{ tableLayout: "fixed" }}>
        <TableHead>
          <TableRow>
            <TableCell sx={{ width: 178 }}>{adminText.audit.when}</TableCell>
            <TableCell sx={{ width: 170 }}>{adminText.audit.who}</TableCell>
            <TableCell sx={{ width: 190 }}>{adminText.audit.action}</TableCell>
            <TableCell>{adminText.audit.what}</TableCell>
            <TableCell sx={{ width: 140 }}>{adminText.audit.where}</TableCell>
          </TableRow>
        </TableHead>
        <TableBody>
          {entries.map((entry) => (
            <TableRow key={entry.id} data-action={entry.action} sx={{ "& > td": { verticalAlign: "top", pt: 1.25 } }}>
              <TableCell title={exactTime(entry.at)}>{dateTime(entry.at)}</TableCell>
              <TableCell>
                <Box sx={{ fontWeight: 560 }}>{entry.actor || adminText.audit.nobody}</Box>
                <Typography component="span" variant="caption" sx={{ color: "text.secondary" }}>
                  {via(entry)}
                </Typography>
              </TableCell>
              <TableCell>{action(entry)}</TableCell>
              <TableCell>
                <Deed entry={entry} />
              </TableCell>
              <TableCell>{entry.address}</TableCell>
            </TableRow>
          ))}
        </TableBody>
      </Table>
      {footer}
    </Card>
  );
}

function AuditCards({ entries, footer }: { entries: AuditEntry[]; footer: ReactNode }) {
  return (
    <>
      <Box component="ul" sx={{ listStyle: "none", m: 0, p: 0, display: "grid", gap: 1 }}>
        {entries.map((entry) => (
          <Card component="li" key={entry.id} data-action={entry.action} sx={{ p: 1.75, fontSize: "0.9375rem" }}>
            <Typography variant="caption" component="p" sx={{ display: "flex", justifyContent: "space-between", gap: 1, color: "text.secondary" }}>
              <span>{action(entry)}</span>
              <span title={exactTime(entry.at)}>{dateTime(entry.at)}</span>
            </Typography>
            <Deed entry={entry} />
            <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
              {[entry.actor || adminText.audit.nobody, via(entry), entry.address].filter(Boolean).join(" · ")}
            </Typography>
          </Card>
        ))}
      </Box>
      {footer}
    </>
  );
}
