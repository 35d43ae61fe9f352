/** How a state looks: colour, icon and word, always all three. A new state breaks the build here, not the page. */
import {
  Archive,
  Ban,
  CircleCheck,
  CircleX,
  Clock,
  Copy,
  FileCheck,
  HardDriveUpload,
  Hourglass,
  type LucideIcon,
  Play,
  ShieldCheck,
  SearchCheck,
  Eraser,
} from "lucide-react";

import type { Status } from "../api/types";

export type Tone = "success" | "warning" | "error" | "info" | "neutral";

export const STATUS_LOOK: Record<Status, { tone: Tone; icon: LucideIcon }> = {
  queued: { tone: "neutral", icon: Clock },
  copying: { tone: "info", icon: Copy },
  compressing: { tone: "info", icon: Archive },
  verifying: { tone: "info", icon: FileCheck },
  compressed: { tone: "neutral", icon: Hourglass },
  uploading: { tone: "info", icon: HardDriveUpload },
  upload_verifying: { tone: "info", icon: SearchCheck },
  verified: { tone: "info", icon: ShieldCheck },
  deleting_source: { tone: "info", icon: Eraser },
  completed: { tone: "success", icon: CircleCheck },
  failed: { tone: "error", icon: CircleX },
  cancelled: { tone: "neutral", icon: Ban },
  running: { tone: "info", icon: Play },
};

export function toneColor(tone: Tone): string {
  return tone === "neutral" ? "text.secondary" : `${tone}.main`;
}

/** For plain CSS. */
export function toneVar(tone: Tone): string {
  return tone === "neutral" ? "var(--mui-palette-text-secondary)" : `var(--mui-palette-${tone}-main)`;
}
