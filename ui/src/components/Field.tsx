/** A labelled text field. MUI's TextField would bring menus and popovers along to every page. */
import FormControl from "@mui/material/FormControl";
import FormHelperText from "@mui/material/FormHelperText";
import InputLabel from "@mui/material/InputLabel";
import OutlinedInput, { type OutlinedInputProps } from "@mui/material/OutlinedInput";
import type { SxProps, Theme } from "@mui/material/styles";
import { type ReactNode, useId } from "react";

interface FieldProps extends Omit<OutlinedInputProps, "label" | "id" | "sx" | "notched"> {
  label: string;
  hint?: ReactNode;
  /** The label stays above: for a field that is never empty to the eye, such as a date. */
  shrink?: boolean;
  /** The label is said, not shown: it stands beside the field already. */
  said?: boolean;
  sx?: SxProps<Theme>;
}

export function Field({ label, hint, shrink, said, error, sx, inputProps, ...props }: FieldProps & { inputProps?: OutlinedInputProps["inputProps"] }) {
  const id = useId();
  return (
    <FormControl size="small" fullWidth error={error} sx={sx}>
      {!said && (
        <InputLabel htmlFor={id} shrink={shrink}>
          {label}
        </InputLabel>
      )}
      <OutlinedInput {...props} notched={shrink} id={id} label={said ? undefined : label} inputProps={said ? { ...inputProps, "aria-label": label } : inputProps} aria-describedby={hint ? `${id}-hint` : undefined} />
      {hint && <FormHelperText id={`${id}-hint`}>{hint}</FormHelperText>}
    </FormControl>
  );
}
