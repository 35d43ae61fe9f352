/** Words of the users' page that no other page needs. As in en.ts otherwise. */
import { exactSize } from "../util/units";
import { spoken } from "./en";

export const enUsers = {
  user: "User",
  created: "Created",
  lastLogin: "Last login",
  never: "Never",
  actions: "Actions",
  quota: "Space (quota)",
  quotaHint: "Such as 20 GB. Empty: the usual quota of the configuration.",
  quotaWrong: "Must be a size such as 20 GB, or empty.",
  quotaOf: (bytes: number) => `quota ${exactSize(bytes)}`,
  usualQuota: "usual quota",
  edit: "Set quota",
  editOne: (name: string) => `Set quota of ${name}`,
  editTitle: (name: string) => `Quota of ${name}`,
  editText: "What the workspace may hold: uploads, packs and archives. A smaller quota deletes nothing; it only stops new files.",
  save: "Save",
  adminTitle: (name: string) => `Make ${name} an administrator?`,
  adminEffects: [
    "Administrators manage users, settings and the audit log, and see and control the workspace jobs of all users.",
    "They can set new passwords and remove others' rights, yours included.",
  ],
  adminConfirm: "Make administrator",
};

export const usersText: typeof enUsers = spoken(enUsers);
