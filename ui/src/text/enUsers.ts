/** Words of the users' page that no other page needs. As in en.ts otherwise. */
import { exactSize } from "../util/units";
import { spoken } from "./en";

export const enUsers = {
  user: "User",
  created: "Created",
  lastLogin: "Last login",
  never: "Never",
  actions: "Actions",
  quota: "Quota",
  quotaHint: "For example 20 GB. Leave empty to use the default quota.",
  quotaWrong: "Must be a size such as 20 GB, or empty.",
  quotaOf: (bytes: number) => `quota ${exactSize(bytes)}`,
  usualQuota: "default quota",
  edit: "Set quota",
  editOne: (name: string) => `Set quota of ${name}`,
  editTitle: (name: string) => `Quota of ${name}`,
  editText: "Limits the uploads, packs and archives in the workspace. A smaller quota deletes nothing. It only stops new files.",
  save: "Save",
  adminTitle: (name: string) => `Make ${name} an administrator?`,
  adminEffects: [
    "Administrators manage users, settings and the audit log, and see and control the workspace jobs of all users.",
    "They can set passwords and remove the rights of others, including yours.",
  ],
  adminConfirm: "Make administrator",
};

export const usersText: typeof enUsers = spoken(enUsers);
