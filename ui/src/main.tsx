import "@fontsource-variable/inter/wght.css";
import createCache from "@emotion/cache";
import { CacheProvider } from "@emotion/react";
import CssBaseline from "@mui/material/CssBaseline";
import { ThemeProvider, useColorScheme } from "@mui/material/styles";
import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, StrictMode, Suspense, useEffect, useMemo } from "react";
import { createRoot } from "react-dom/client";
import { useRoutes } from "react-router";

import { session } from "./api/session";
import { follow, listenToMissed, queryClient } from "./api/sync";
import { AppRouter } from "./components/AppRouter";
import { toast } from "./components/toasts";
import { fetchPage, routes } from "./routes";
import { text } from "./text/en";
import { usePreferences } from "./theme/preferences";
import { makeTheme } from "./theme/theme";

const ToastList = lazy(() => import("./components/ToastList"));

// The policy lets only styles with this answer's nonce in; Vite wrote it into the page, the gateway filled it in.
const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce;
const styles = createCache({ key: "cs", nonce: nonce || undefined });
fetchPage(window.location.pathname);
void document.fonts.load('1em "Inter Variable"'); // with the first text: one that is late stays away until the next visit

/** One place decides the scheme: the preference. MUI and the class on <html> follow. */
function SchemeFollower() {
  const { scheme } = usePreferences();
  const { mode, setMode } = useColorScheme();
  useEffect(() => {
    if (mode !== scheme) setMode(scheme);
  }, [mode, scheme, setMode]);
  return null;
}

function Pages() {
  return useRoutes(routes);
}

function App() {
  const { density, scheme } = usePreferences();
  const theme = useMemo(() => makeTheme(density), [density]);
  return (
    <CacheProvider value={styles}>
      <ThemeProvider theme={theme} defaultMode={scheme} modeStorageKey="cs-archiver.scheme" noSsr>
        <CssBaseline enableColorScheme />
        <SchemeFollower />
        <QueryClientProvider client={queryClient}>
          <AppRouter>
            <Pages />
          </AppRouter>
          <Suspense fallback={null}>
            <ToastList />
          </Suspense>
        </QueryClientProvider>
      </ThemeProvider>
    </CacheProvider>
  );
}

listenToMissed((missed) => toast(text.connection.missed(missed), missed.failed > 0 ? "warning" : "info"));
follow(session.id());
session.subscribe(() => follow(session.id()));

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
