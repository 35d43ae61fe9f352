import Box from "@mui/material/Box";
import FormControlLabel from "@mui/material/FormControlLabel";
import Switch from "@mui/material/Switch";
import ToggleButton from "@mui/material/ToggleButton";
import ToggleButtonGroup from "@mui/material/ToggleButtonGroup";
import Typography from "@mui/material/Typography";
import { lazy, Suspense } from "react";

import { useMe } from "../../api/queries";
import { PageHeader } from "../../components/PageHeader";
import { PasswordForm } from "../../components/PasswordForm";
import { Section } from "../../components/Section";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";
import { type Preferences, setPreference, usePreferences } from "../../theme/preferences";

// The last sections of the page: what comes later pushes nothing down.
const AutoArchive = lazy(() => import("./AutoArchive"));
const Tokens = lazy(() => import("./Tokens"));

export function Settings() {
  const user = useMe().data;
  const chosen = usePreferences();
  return (
    <>
      <PageHeader title={text.settings.title} />
      <Box sx={{ display: "grid", gap: 2, maxWidth: 760 }}>
        <Section title={text.settings.look} hint={text.settings.stored}>
          <Choice label={text.settings.scheme} name="scheme" value={chosen.scheme} words={text.settings.schemes} />
          <Choice label={text.settings.density} name="density" value={chosen.density} words={text.settings.densities} />
          <Choice label={text.settings.zone} name="zone" value={chosen.zone} words={text.settings.zones} />
        </Section>
        <Section title={text.settings.keys}>
          <Box>
            <FormControlLabel
              control={<Switch checked={chosen.shortcuts} onChange={(_, on) => setPreference("shortcuts", on)} />}
              label={text.settings.shortcuts}
            />
            <Typography variant="caption" component="p" sx={{ color: "text.secondary" }}>
              {text.settings.shortcutsHint}
            </Typography>
          </Box>
        </Section>
        {user && (
          <>
            <Section title={text.settings.profile}>
              <Box component="dl" sx={{ m: 0, display: "grid", gridTemplateColumns: "auto minmax(0, 1fr)", columnGap: 3, rowGap: 0.75 }}>
                <Box component="dt" sx={{ color: "text.secondary" }}>
                  {text.settings.name}
                </Box>
                <Box component="dd" sx={{ m: 0 }}>
                  {user.username}
                </Box>
                <Box component="dt" sx={{ color: "text.secondary" }}>
                  {text.settings.role}
                </Box>
                <Box component="dd" sx={{ m: 0 }}>
                  {user.is_admin ? text.settings.admin : text.settings.member}
                </Box>
              </Box>
            </Section>
            <Section title={text.password.title}>
              <Box sx={{ maxWidth: 400 }}>
                <PasswordForm username={user.username} onDone={() => toast(text.password.done)} />
              </Box>
            </Section>
            <Suspense fallback={null}>
              <AutoArchive />
              <Tokens user={user} />
            </Suspense>
          </>
        )}
      </Box>
    </>
  );
}

interface ChoiceProps<K extends "scheme" | "density" | "zone"> {
  label: string;
  name: K;
  value: Preferences[K];
  words: Record<Preferences[K], string>;
}

function Choice<K extends "scheme" | "density" | "zone">({ label, name, value, words }: ChoiceProps<K>) {
  const options = Object.entries(words) as [Preferences[K], string][];
  return (
    <Box sx={{ display: "flex", flexWrap: "wrap", alignItems: "center", columnGap: 1.5, rowGap: 0.5 }}>
      <Typography id={`choice-${name}`} sx={{ width: { xs: 1, sm: 110 } }}>
        {label}
      </Typography>
      <ToggleButtonGroup
        exclusive
        size="small"
        aria-labelledby={`choice-${name}`}
        value={value}
        onChange={(_, next: Preferences[K] | null) => next && setPreference(name, next)}
        sx={{ flexWrap: "wrap" }}
      >
        {options.map(([option, word]) => (
          <ToggleButton key={option} value={option} sx={{ px: 1.75 }}>
            {word}
          </ToggleButton>
        ))}
      </ToggleButtonGroup>
    </Box>
  );
}
