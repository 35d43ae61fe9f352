import Box from "@mui/material/Box";
import type { SxProps, Theme } from "@mui/material/styles";
import { ChevronDown } from "lucide-react";
import type { ChangeEvent } from "react";

interface Props<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  sx?: SxProps<Theme>;
}

/** A drop-down: the browser's own list, which phones show best, and a tenth of MUI's weight. The label is for those who do not see the options. */
export function Pick<T extends string>({ label, value, options, onChange, sx }: Props<T>) {
  return (
    <Box sx={[{ position: "relative", display: "inline-flex", maxWidth: "100%" }, ...(Array.isArray(sx) ? sx : [sx])]}>
      <Box
        component="select"
        aria-label={label}
        value={value}
        onChange={(event: ChangeEvent<HTMLSelectElement>) => onChange(event.target.value as T)}
        sx={{
          appearance: "none",
          width: "100%",
          minHeight: 40,
          "@media (pointer: coarse)": { minHeight: 44 },
          font: "inherit",
          fontSize: "0.9375rem",
          color: "text.primary",
          backgroundColor: "background.paper",
          border: 1,
          borderColor: "divider",
          borderRadius: "8px",
          paddingInline: "14px 34px",
          textOverflow: "ellipsis",
          "&:hover": { borderColor: "text.secondary" },
        }}
      >
        {options.map(([option, word]) => (
          <option key={option} value={option}>
            {word}
          </option>
        ))}
      </Box>
      <Box component="span" aria-hidden sx={{ position: "absolute", insetInlineEnd: 11, insetBlock: 0, display: "flex", alignItems: "center", pointerEvents: "none", color: "text.secondary" }}>
        <ChevronDown size={17} />
      </Box>
    </Box>
  );
}
