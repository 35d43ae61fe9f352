import { Navigate, type RouteObject } from "react-router";

import { Crash } from "./pages/Crash";
import { paths } from "./util/paths";

/** Every page is a chunk of its own; the shell is the entry. */
export const routes: RouteObject[] = [
  {
    errorElement: <Crash />,
    hydrateFallbackElement: <div />,
    children: [
      { path: "/login", lazy: async () => ({ Component: (await import("./pages/Login")).Login }) },
      { path: "/change-password", lazy: async () => ({ Component: (await import("./pages/ChangePassword")).ChangePassword }) },
      {
        lazy: async () => ({ Component: (await import("./components/Shell")).Shell }),
        children: [
          {
            errorElement: <Crash />,
            children: [
              { path: "/", element: <Navigate to={paths.folders()} replace /> },
              { path: "/folders", lazy: async () => ({ Component: (await import("./pages/folders/Folders")).Folders }) },
              { path: "/files", lazy: async () => ({ Component: (await import("./pages/files/Files")).Files }) },
              { path: "/queue", lazy: async () => ({ Component: (await import("./pages/queue/Queue")).Queue }) },
              { path: "/history", lazy: async () => ({ Component: (await import("./pages/history/History")).History }) },
              { path: "/jobs/:jobId", lazy: async () => ({ Component: (await import("./pages/job/Job")).Job }) },
              { path: "/dashboard", lazy: async () => ({ Component: (await import("./pages/dashboard/Dashboard")).Dashboard }) },
              { path: "/settings", lazy: async () => ({ Component: (await import("./pages/settings/Settings")).Settings }) },
              { path: "/admin/system", lazy: async () => ({ Component: (await import("./pages/admin/System")).System }) },
              { path: "/admin/config", lazy: async () => ({ Component: (await import("./pages/admin/Configuration")).Configuration }) },
              { path: "/admin/audit", lazy: async () => ({ Component: (await import("./pages/admin/Audit")).Audit }) },
              { path: "/admin/users", lazy: async () => ({ Component: (await import("./pages/admin/Users")).Users }) },
              { path: "*", lazy: async () => ({ Component: (await import("./pages/Problems")).NotFound }) },
            ],
          },
        ],
      },
    ],
  },
];
