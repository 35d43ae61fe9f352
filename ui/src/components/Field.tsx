/** A labelled text field and a drop-down. MUI's TextField would bring menus and popovers along to every page. */
import FormControl from "@mui/material/FormControl";
import FormHelperText from "@mui/material/FormHelperText";
import InputLabel from "@mui/material/InputLabel";
import NativeSelect from "@mui/material/NativeSelect";
import OutlinedInput, { type OutlinedInputProps } from "@mui/material/OutlinedInput";
import type { SxProps, Theme } from "@mui/material/styles";
import { type ReactNode, useId } from "react";

interface FieldProps extends Omit<OutlinedInputProps, "label" | "id" | "sx" | "notched"> {
  label: string;
  hint?: ReactNode;
  sx?: SxProps<Theme>;
}

export function Field({ label, hint, error, sx, inputProps, ...props }: FieldProps & { inputProps?: OutlinedInputProps["inputProps"] }) {
  const id = useId();
  return (
    <FormControl size="small" fullWidth error={error} sx={sx}>
      <InputLabel htmlFor={id}>{label}</InputLabel>
      <OutlinedInput {...props} id={id} label={label} inputProps={inputProps} aria-describedby={hint ? `${id}-hint` : undefined} />
      {hint && <FormHelperText id={`${id}-hint`}>{hint}</FormHelperText>}
    </FormControl>
  );
}

interface PickProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
  sx?: SxProps<Theme>;
}

/** The browser's own list, which phones show best. The label is for those who do not see the options. */
export function Pick<T extends string>({ label, value, options, onChange, sx }: PickProps<T>) {
  return (
    <NativeSelect
      value={value}
      onChange={(event) => onChange(event.target.value as T)}
      input={<OutlinedInput size="small" />}
      inputProps={{ "aria-label": label }}
      sx={sx}
    >
      {options.map(([option, word]) => (
        <option key={option} value={option}>
          {word}
        </option>
      ))}
    </NativeSelect>
  );
}
