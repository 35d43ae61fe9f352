import Box from "@mui/material/Box";
import Typography from "@mui/material/Typography";
import { useId } from "react";

import { Pick } from "../../components/Pick";

interface Props<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

/** A drop-down with its label in sight. */
export function Labelled<T extends string>({ label, ...pick }: Props<T>) {
  const id = useId();
  return (
    <Box sx={{ flex: "1 1 160px", minWidth: 0 }}>
      <Typography id={id} component="div" variant="caption" aria-hidden sx={{ color: "text.secondary", mb: 0.5 }}>
        {label}
      </Typography>
      <Pick label={label} {...pick} sx={{ width: "100%" }} />
    </Box>
  );
}
