import IconButton from "@mui/material/IconButton";
import InputAdornment from "@mui/material/InputAdornment";
import OutlinedInput from "@mui/material/OutlinedInput";
import type { SxProps, Theme } from "@mui/material/styles";
import { Search, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";

import { text } from "../text/en";

interface Props {
  label: string;
  value: string;
  onChange: (value: string) => void;
  delay?: number;
  sx?: SxProps<Theme>;
}

/** What is typed shows at once; the search follows when the typing rests. "/" puts the cursor here. */
export function SearchField({ label, value, onChange, delay = 250, sx }: Props) {
  const [typed, setTyped] = useState(value);
  const [known, setKnown] = useState(value);
  const timer = useRef<number | undefined>(undefined);
  if (known !== value) {
    // The address changed: by this field, or from elsewhere (back, a link, "clear the filters").
    setKnown(value);
    setTyped(value);
  }
  // The newest: an older one would write an address without what changed meanwhile.
  const tell = useRef(onChange);
  useEffect(() => {
    tell.current = onChange;
  });
  useEffect(() => () => window.clearTimeout(timer.current), []);
  const type = (next: string) => {
    setTyped(next);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => tell.current(next), next ? delay : 0);
  };
  return (
    <OutlinedInput
      size="small"
      value={typed}
      onChange={(event) => type(event.target.value)}
      onKeyDown={(event) => {
        if (event.key === "Escape" && typed) {
          event.stopPropagation();
          type("");
        }
      }}
      placeholder={label}
      sx={[{ flex: "1 1 220px", maxWidth: { sm: 380 } }, ...(Array.isArray(sx) ? sx : [sx])]}
      inputProps={{ "aria-label": label, "data-search": "", autoComplete: "off", spellCheck: false }}
      startAdornment={
        <InputAdornment position="start">
          <Search size={17} aria-hidden />
        </InputAdornment>
      }
      endAdornment={
        typed && (
          <InputAdornment position="end">
            <IconButton size="small" edge="end" aria-label={text.action.clearSearch} onClick={() => type("")}>
              <X size={15} aria-hidden />
            </IconButton>
          </InputAdornment>
        )
      }
    />
  );
}
