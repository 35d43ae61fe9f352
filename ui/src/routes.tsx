import { type ComponentType, lazy, Suspense } from "react";
import { matchRoutes, Navigate, Outlet, type RouteObject } from "react-router";

import { CrashGuard } from "./pages/Crash";
import { paths } from "./util/paths";

/** A page in a chunk of its own. */
function page(path: string | undefined, load: () => Promise<ComponentType>, children?: RouteObject[]): RouteObject {
  let fetched: Promise<{ default: ComponentType }> | undefined;
  const fetch = () => (fetched ??= load().then((component) => ({ default: component })));
  const Page = lazy(fetch);
  return { path, children, element: <Page />, handle: fetch };
}

/** Where pages appear that may crash or still be on their way. */
const place = (
  <CrashGuard>
    <Suspense fallback={<div />}>
      <Outlet />
    </Suspense>
  </CrashGuard>
);

/** The shell around the pages is fetched after the entry, so that the login is there sooner. */
export const routes: RouteObject[] = [
  {
    element: place,
    children: [
      page("/login", async () => (await import("./pages/Login")).Login),
      page("/change-password", async () => (await import("./pages/ChangePassword")).ChangePassword),
      page(undefined, async () => (await import("./components/Shell")).Shell, [
        {
          element: place,
          children: [
            { path: "/", element: <Navigate to={paths.folders()} replace /> },
            page("/folders", async () => (await import("./pages/folders/Folders")).Folders),
            page("/files", async () => (await import("./pages/files/Files")).Files),
            page("/queue", async () => (await import("./pages/queue/Queue")).Queue),
            page("/history", async () => (await import("./pages/history/History")).History),
            page("/jobs/:jobId", async () => (await import("./pages/job/Job")).Job),
            page("/dashboard", async () => (await import("./pages/dashboard/Dashboard")).Dashboard),
            page("/settings", async () => (await import("./pages/settings/Settings")).Settings),
            page("/admin/system", async () => (await import("./pages/admin/System")).System),
            page("/admin/config", async () => (await import("./pages/admin/Configuration")).Configuration),
            page("/admin/audit", async () => (await import("./pages/admin/Audit")).Audit),
            page("/admin/users", async () => (await import("./pages/admin/Users")).Users),
            page("*", async () => (await import("./pages/Problems")).NotFound),
          ],
        },
      ]),
    ],
  },
];

/** Fetch the shell and the page of an address at the same time, before either is drawn. */
export function fetchPage(pathname: string): void {
  for (const { route } of matchRoutes(routes, pathname) ?? []) {
    const fetch = route.handle as (() => Promise<unknown>) | undefined;
    fetch?.().catch(() => undefined); // told by the page's place when it is drawn
  }
}
