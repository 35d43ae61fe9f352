import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import InputAdornment from "@mui/material/InputAdornment";
import Typography from "@mui/material/Typography";
import { RotateCcw } from "lucide-react";

import type { Setting } from "../../api/types";
import { Field } from "../../components/Field";
import { Pick } from "../../components/Pick";
import { text } from "../../text/en";
import { adminText } from "../../text/enAdmin";
import { ago, exactTime } from "../../util/time";
import { useNow } from "../../util/useNow";
import { label, range, said, typed } from "./configForm";

interface Props {
  setting: Setting;
  /** What was typed; null: goes back to the default; undefined: untouched. */
  draft: string | null | undefined;
  problem: string | undefined;
  onChange: (value: string | null | undefined) => void;
}

/** One setting: what it means, its field with unit and limits, who changed it, and the way back to the default. */
export function SettingField({ setting, draft, problem, onChange }: Props) {
  const name = label(setting);
  const shown = draft === null ? typed(setting, setting.default) : (draft ?? typed(setting, setting.value));
  return (
    <Box
      data-setting={setting.name}
      sx={{ display: "grid", gap: { xs: 1, sm: 2 }, gridTemplateColumns: { xs: "minmax(0, 1fr)", sm: "minmax(0, 1fr) minmax(0, 300px)" }, alignItems: "start", "& + &": { borderTop: 1, borderColor: "divider", pt: 2 } }}
    >
      <Box sx={{ minWidth: 0 }}>
        <Typography component="h3" sx={{ fontWeight: 580, fontSize: "0.9375rem" }}>
          {name}
        </Typography>
        <Typography variant="body2" sx={{ color: "text.secondary" }}>
          {setting.about}
        </Typography>
        <Origin setting={setting} draft={draft} name={name} onReset={() => onChange(null)} onKeep={() => onChange(undefined)} />
      </Box>
      {setting.kind === "choice" ? (
        <Pick
          label={name}
          value={shown}
          options={setting.choices.map((choice) => [choice, adminText.config.choices[choice] ?? choice] as const)}
          onChange={onChange}
          sx={{ width: "100%" }}
        />
      ) : (
        <Field
          label={name}
          said
          value={shown}
          onChange={(event) => onChange(event.target.value)}
          error={problem !== undefined}
          hint={problem ?? range(setting)}
          autoComplete="off"
          inputProps={{ inputMode: setting.unit === "bytes" || setting.kind === "list" ? "text" : "decimal", spellCheck: false }}
          endAdornment={adminText.config.units[setting.unit] && <InputAdornment position="end">{adminText.config.units[setting.unit]}</InputAdornment>}
        />
      )}
    </Box>
  );
}

interface OriginProps {
  setting: Setting;
  draft: string | null | undefined;
  name: string;
  onReset: () => void;
  onKeep: () => void;
}

function Origin({ setting, draft, name, onReset, onKeep }: OriginProps) {
  const now = useNow(60_000);
  const fallback = said(setting, setting.default);
  if (draft === null) {
    return (
      <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 1, color: "warning.main", fontSize: "0.8125rem", mt: 0.5 }}>
        {adminText.config.willReset(fallback)}
        <Button size="small" onClick={onKeep}>
          {text.action.undo}
        </Button>
      </Box>
    );
  }
  return (
    <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 1, color: "text.secondary", fontSize: "0.8125rem", mt: 0.5 }}>
      <span>{adminText.config.default(fallback)}</span>
      {setting.changed_by !== null && setting.changed_at !== null && (
        <>
          <Box component="span" title={exactTime(setting.changed_at)} sx={{ color: "primary.main", fontWeight: 560 }}>
            {adminText.config.changedBy(setting.changed_by, ago(setting.changed_at, now))}
          </Box>
          <Button size="small" startIcon={<RotateCcw size={14} aria-hidden />} aria-label={adminText.config.resetOne(name)} onClick={onReset}>
            {adminText.config.reset}
          </Button>
        </>
      )}
    </Box>
  );
}
