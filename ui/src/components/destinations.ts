/** Where one can go: rail, bottom bar, "More" and the palette are made from this one list. */
import { Activity, FolderOpen, Gauge, HardDrive, History, ListOrdered, type LucideIcon, ScrollText, Settings, SlidersHorizontal, Users } from "lucide-react";

import type { User } from "../api/types";
import { text } from "../text/en";
import { paths } from "../util/paths";

export interface Destination {
  to: string;
  label: string;
  icon: LucideIcon;
  /** main: always in sight; own: one's own things; admin: for administrators only. */
  group: "main" | "own" | "admin";
}

const ALL: readonly Destination[] = [
  { to: paths.dashboard(), label: text.nav.dashboard, icon: Gauge, group: "main" },
  { to: paths.folders(), label: text.nav.folders, icon: FolderOpen, group: "main" },
  { to: paths.queue(), label: text.nav.queue, icon: ListOrdered, group: "main" },
  { to: paths.history(), label: text.nav.history, icon: History, group: "main" },
  { to: paths.files(), label: text.nav.files, icon: HardDrive, group: "main" },
  { to: paths.settings(), label: text.nav.settings, icon: Settings, group: "own" },
  { to: paths.adminUsers(), label: text.nav.users, icon: Users, group: "admin" },
  { to: paths.adminSystem(), label: text.nav.system, icon: Activity, group: "admin" },
  { to: paths.adminConfig(), label: text.nav.config, icon: SlidersHorizontal, group: "admin" },
  { to: paths.adminAudit(), label: text.nav.audit, icon: ScrollText, group: "admin" },
];

export function destinations(user: User): Destination[] {
  return ALL.filter((one) => one.group !== "admin" || user.is_admin);
}

const BAR_PLACES = 4;

/** A phone's bar has four places, and a fifth for the rest. */
export function barAndMore(user: User): { bar: Destination[]; more: Destination[] } {
  const all = destinations(user);
  return { bar: all.slice(0, BAR_PLACES), more: all.slice(BAR_PLACES) };
}
