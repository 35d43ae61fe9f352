import Box from "@mui/material/Box";
import IconButton from "@mui/material/IconButton";
import { Check, Copy } from "lucide-react";
import { useState } from "react";

import { text } from "../text/en";
import { MONO } from "../theme/theme";
import { toast } from "./toasts";

const SHOWN_MS = 1500;

/** A path, an id or a checksum that somebody will want elsewhere. It wraps; nothing is cut off. */
export function CopyText({ value, what }: { value: string; what: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      setCopied(true);
      window.setTimeout(() => setCopied(false), SHOWN_MS);
    } catch {
      toast(value, "info"); // no clipboard without HTTPS: show it, to be marked by hand
    }
  };
  return (
    <Box component="span" sx={{ display: "flex", alignItems: "flex-start", gap: 0.5 }}>
      <Box component="span" sx={{ fontFamily: MONO, fontSize: "0.8125rem", lineHeight: 1.6, overflowWrap: "anywhere", minWidth: 0, "@media (pointer: coarse)": { pt: "5.6px" } /* the middle of a larger button */ }}>
        {value}
      </Box>
        <IconButton size="small" aria-label={text.action.copy(what)} title={copied ? text.action.copied : text.action.copy(what)} onClick={copy} sx={{ my: -0.75, flexShrink: 0, color: "text.secondary" }}>
          {copied ? <Check size={15} aria-hidden /> : <Copy size={15} aria-hidden />}
        </IconButton>
    </Box>
  );
}
