/**
 * The addresses that this tab visits, and one guard that can hold the way out of a page with unsaved input.
 * The router's own guard exists only in its data router, which weighs 17 kB more.
 */
import { UNSAFE_createBrowserHistory as createBrowserHistory, type Location, type Navigator } from "react-router";

type Guard = (leave: () => void) => void;
type Listener = Parameters<ReturnType<typeof createBrowserHistory>["listen"]>[0];

const own = createBrowserHistory({ v5Compat: true }); // the listener hears of pushes, too
let guard: Guard | null = null;

/** Hold every way out of this page until the returned function is called. `held` gets the function that leaves after all. */
export function guardPage(held: Guard): () => void {
  guard = held;
  return () => {
    if (guard === held) guard = null;
  };
}

function leaves(from: string, to: string): boolean {
  return guard !== null && from !== to;
}

export const history = {
  get action() {
    return own.action;
  },
  get location(): Location {
    return own.location;
  },
  createHref: own.createHref,
  encodeLocation: own.encodeLocation,
  go: own.go,
  replace: own.replace, // the app's own redirects, such as to the login: nobody is asked
  push(to, state?: unknown) {
    const path = typeof to === "string" ? own.encodeLocation(to).pathname : to.pathname;
    if (guard && path && leaves(own.location.pathname, path)) guard(() => own.push(to, state));
    else own.push(to, state);
  },
  /** Tell the listener of every change of address. A step back that the guard holds is undone first. */
  listen(listener: Listener) {
    let shown = own.location.pathname;
    let quiet = false;
    let released = false;
    return own.listen((update) => {
      if (quiet) {
        quiet = false;
        return;
      }
      if (update.action === "POP" && update.delta && guard && !released && leaves(shown, update.location.pathname)) {
        const { delta } = update;
        quiet = true;
        own.go(-delta);
        guard(() => {
          released = true;
          own.go(delta);
        });
        return;
      }
      released = false;
      shown = update.location.pathname;
      listener(update);
    });
  },
} satisfies Navigator & Record<string, unknown>;
