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
  useLayoutEffect(() => {
    let path = history.location.pathname;
    return history.listen(({ action, location }) => {
      const show = () => setShown({ action, location });
      // Within a page nothing has to be fetched, and a box that was ticked must not look unticked for a moment.
      if (location.pathname === path) show();
      else begin(show);
      path = location.pathname;
    });
  }, []);
  return (
    <Busy value={busy}>
      <Router location={shown.location} navigationType={shown.action} navigator={history}>
        {children}
      </Router>
    </Busy>
  );
}
