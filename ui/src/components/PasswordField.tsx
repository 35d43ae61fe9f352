import IconButton from "@mui/material/IconButton";
import InputAdornment from "@mui/material/InputAdornment";
import { Eye, EyeOff } from "lucide-react";
import { type ComponentProps, useState } from "react";

import { text } from "../text/en";
import { Field } from "./Field";

export function PasswordField({ optional = false, ...props }: ComponentProps<typeof Field> & { optional?: boolean }) {
  const [shown, setShown] = useState(false);
  return (
    <Field
      {...props}
      type={shown ? "text" : "password"}
      inputProps={{ required: !optional }}
      endAdornment={
        <InputAdornment position="end">
          <IconButton edge="end" size="small" aria-label={shown ? text.login.hide : text.login.show} aria-pressed={shown} onClick={() => setShown(!shown)}>
            {shown ? <EyeOff size={18} aria-hidden /> : <Eye size={18} aria-hidden />}
          </IconButton>
        </InputAdornment>
      }
    />
  );
}
