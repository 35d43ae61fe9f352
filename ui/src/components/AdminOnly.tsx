import type { ReactNode } from "react";

import { useMe } from "../api/queries";
import { Denied } from "../pages/Problems";

/** The gateway refuses the others anyway; this says so in place of a page full of errors. */
export function AdminOnly({ children }: { children: ReactNode }) {
  const me = useMe().data;
  if (!me) return null;
  return me.is_admin ? children : <Denied />;
}
