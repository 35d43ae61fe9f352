import { createContext, type ReactNode, use, useLayoutEffect, useState, useTransition } from "react";
import { Router } from "react-router";

import { history } from "../util/history";

const Busy = createContext(false);

/** Whether the next page's code is being fetched. Until it is there, the page before it stays. */
export function useBusy(): boolean {
  return use(Busy);
}

export function AppRouter({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState({ action: history.action, location: history.location });
  const [busy, begin] = useTransition();
  useLayoutEffect(() => history.listen(({ action, location }) => begin(() => setShown({ action, location }))), []);
  return (
    <Busy value={busy}>
      <Router location={shown.location} navigationType={shown.action} navigator={history}>
        {children}
      </Router>
    </Busy>
  );
}
