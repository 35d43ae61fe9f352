import Button, { type ButtonProps } from "@mui/material/Button";
import IconButton, { type IconButtonProps } from "@mui/material/IconButton";

import { useSilent } from "../api/silence";
import { text } from "../text/en";

/** A button for what only the gateway can do: while nothing comes from it, the button is disabled and says why. */
export function ActionButton({ disabled, title, ...props }: ButtonProps) {
  const silent = useSilent();
  return <Button {...props} disabled={disabled || silent} title={silent ? text.connection.silent : title} />;
}

/** The same as an icon. */
export function ActionIconButton({ disabled, title, ...props }: IconButtonProps) {
  const silent = useSilent();
  return <IconButton {...props} disabled={disabled || silent} title={silent ? text.connection.silent : title} />;
}
