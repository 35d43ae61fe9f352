// Before the first paint, so that a dark room stays dark: the class that src/theme/theme.ts works with. A file of its own, because the policy allows no inline script.
(function () {
  var mode = "system";
  try {
    mode = localStorage.getItem("cs-archiver.scheme") || "system";
  } catch (_) {}
  var dark = mode === "dark" || (mode === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.add(dark ? "dark" : "light");
})();
