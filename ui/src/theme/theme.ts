/** The one place for colours, shapes and type. Pages name roles ("success", "text.secondary"), never colours. */
import { createTheme } from "@mui/material/styles";

import type { Density } from "./preferences";

declare module "@mui/material/styles" {
  interface TypeBackground {
    raised: string;
    track: string;
  }
}

const FONT = '"Inter Variable", system-ui, -apple-system, "Segoe UI", sans-serif';
export const MONO = '"JetBrains Mono Variable", ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace';
export const RAIL_WIDTH = 224;
export const BAR_HEIGHT = 56;

export const FOCUS_RING = { outline: "2px solid var(--mui-palette-primary-main)", outlineOffset: 2 };
/** For what fills a box that cuts off what sticks out. */
const INNER_FOCUS_RING = { ...FOCUS_RING, outlineOffset: -2 };

const light = {
  palette: {
    primary: { main: "#2b59c3", dark: "#1f469f", light: "#5d84dc", contrastText: "#ffffff" },
    success: { main: "#17693a", contrastText: "#ffffff" },
    warning: { main: "#8a5300", contrastText: "#ffffff" },
    error: { main: "#b3261e", contrastText: "#ffffff" },
    info: { main: "#2b59c3", contrastText: "#ffffff" },
    background: { default: "#f5f6f8", paper: "#ffffff", raised: "#eef0f4", track: "#e0e4eb" },
    text: { primary: "#161a22", secondary: "#545d6c" },
    divider: "#dfe3ea",
  },
};

const dark = {
  palette: {
    primary: { main: "#8fb3ff", dark: "#6b97f5", light: "#b5ccff", contrastText: "#0b1a38" },
    success: { main: "#6bd695", contrastText: "#06240f" },
    warning: { main: "#f0b95a", contrastText: "#2b1b00" },
    error: { main: "#ff9a92", contrastText: "#3a0603" },
    info: { main: "#8fb3ff", contrastText: "#0b1a38" },
    background: { default: "#0e1117", paper: "#161b24", raised: "#1e2530", track: "#2a3240" },
    text: { primary: "#e7ebf2", secondary: "#a3adbd" },
    divider: "#2a3240",
  },
};

/** `density` changes row heights and paddings; everything else is one look. */
export function makeTheme(density: Density) {
  const compact = density === "compact";
  return createTheme({
    cssVariables: { colorSchemeSelector: "class" },
    colorSchemes: { light, dark },
    shape: { borderRadius: 10 },
    breakpoints: { values: { xs: 0, sm: 600, md: 900, lg: 1200, xl: 1600 } },
    typography: {
      fontFamily: FONT,
      fontSize: 14,
      h1: { fontSize: "1.5rem", "@media (max-width: 599px)": { fontSize: "1.25rem" }, fontWeight: 650, letterSpacing: "-0.015em", lineHeight: 1.25 },
      h2: { fontSize: "1.0625rem", fontWeight: 620, letterSpacing: "-0.005em", lineHeight: 1.35 },
      h3: { fontSize: "0.9375rem", fontWeight: 620, lineHeight: 1.4 },
      body1: { fontSize: "0.9375rem", lineHeight: 1.5 },
      body2: { fontSize: "0.875rem", lineHeight: 1.45 },
      caption: { fontSize: "0.8125rem", lineHeight: 1.4 },
      button: { textTransform: "none", fontWeight: 580 },
    },
    components: {
      MuiCssBaseline: {
        styleOverrides: {
          body: { overflowWrap: "anywhere" },
          html: { scrollPaddingBlock: `${BAR_HEIGHT + 12}px ${12}px`, "@media (max-width: 899px)": { scrollPaddingBlockEnd: `calc(${BAR_HEIGHT + 12}px + env(safe-area-inset-bottom))` } },
          "*:focus-visible": FOCUS_RING,
          '[role="group"][tabindex="0"]:focus-visible': INNER_FOCUS_RING, // a part that scrolls, as wide as its drawer
          "h1:focus, h1:focus-visible, main:focus, main:focus-visible": { outline: "none" },
          "@media (prefers-reduced-motion: reduce)": {
            "*, *::before, *::after": { animation: "none !important", transition: "none !important", scrollBehavior: "auto !important" },
          },
        },
      },
      MuiButtonBase: {
        defaultProps: { disableRipple: true },
        // MUI takes the outline away, and its own sign of focus is the ripple.
        styleOverrides: { root: { "&:focus-visible, &.Mui-focusVisible": FOCUS_RING } },
      },
      // A menu moves the focus to its first item, also when the mouse opened it: Enter would choose that.
      MuiMenuItem: { styleOverrides: { root: { "&:focus, &.Mui-focusVisible": INNER_FOCUS_RING } } },
      MuiListItemButton: { styleOverrides: { root: { "&:focus-visible, &.Mui-focusVisible": INNER_FOCUS_RING } } },
      // The switch cuts off what sticks out of it, so that the ring is around the whole.
      MuiSwitch: {
        styleOverrides: {
          root: { borderRadius: 8, "&:has(:focus-visible)": INNER_FOCUS_RING },
          switchBase: { "&.Mui-focusVisible": { outline: "none" } },
        },
      },
      // A dialog moves the focus to its safe button: a person who opened it with the mouse has to see that, too.
      MuiDialogActions: { styleOverrides: { root: { "& .MuiButton-root:focus": FOCUS_RING } } },
      MuiAutocomplete: {
        styleOverrides: {
          option: {
            '&.Mui-focused, &[aria-selected="true"].Mui-focused': {
              backgroundColor: "color-mix(in srgb, var(--mui-palette-primary-main) 16%, transparent)",
              boxShadow: "inset 3px 0 0 var(--mui-palette-primary-main)",
              "@media (forced-colors: active)": { outline: "2px solid Highlight", outlineOffset: -2 },
            },
          },
        },
      },
      MuiButton: {
        defaultProps: { disableElevation: true },
        styleOverrides: {
          root: { borderRadius: 8, minHeight: compact ? 32 : 36, "@media (pointer: coarse)": { minHeight: 44 } },
          sizeSmall: { minHeight: compact ? 28 : 32, paddingInline: 12, "@media (pointer: coarse)": { minHeight: 44 } },
          outlined: {
            borderColor: "var(--mui-palette-divider)",
            "&.MuiButton-colorPrimary:not(.Mui-disabled)": { color: "var(--mui-palette-text-primary)" },
          },
        },
      },
      MuiIconButton: {
        styleOverrides: { root: { borderRadius: 8, minWidth: 32, minHeight: 32, "@media (pointer: coarse)": { minWidth: 44, minHeight: 44 } } },
      },
      MuiPaper: { defaultProps: { elevation: 0 }, styleOverrides: { root: { backgroundImage: "none" } } },
      MuiCard: {
        defaultProps: { variant: "outlined" },
        styleOverrides: { root: { borderColor: "var(--mui-palette-divider)", overflow: "clip" } },
      },
      MuiDrawer: { styleOverrides: { paper: { backgroundImage: "none", border: 0 } } },
      MuiDialog: {
        styleOverrides: {
          // A form around content and buttons: the content scrolls, the buttons stay in sight.
          paper: { border: "1px solid var(--mui-palette-divider)", borderRadius: 14, "& > form": { display: "flex", flexDirection: "column", minHeight: 0 } },
        },
      },
      MuiMenu: { styleOverrides: { paper: { border: "1px solid var(--mui-palette-divider)", boxShadow: "0 8px 28px rgb(0 0 0 / 0.18)" } } },
      MuiAlert: { styleOverrides: { root: { borderRadius: 10, alignItems: "flex-start" }, action: { whiteSpace: "nowrap" } } },
      MuiOutlinedInput: {
        styleOverrides: {
          root: { borderRadius: 8, backgroundColor: "var(--mui-palette-background-paper)", "@media (pointer: coarse)": { minHeight: 44 } },
          notchedOutline: { borderColor: "var(--mui-palette-divider)" },
        },
      },
      MuiTableCell: {
        styleOverrides: {
          root: {
            borderColor: "var(--mui-palette-divider)",
            height: compact ? 36 : 48,
            padding: compact ? "2px 12px" : "6px 14px",
            fontSize: "0.875rem",
          },
          head: {
            fontWeight: 600,
            fontSize: "0.8125rem",
            color: "var(--mui-palette-text-secondary)",
            backgroundColor: "var(--mui-palette-background-paper)",
            boxShadow: "inset 0 -1px 0 var(--mui-palette-divider)",
            height: compact ? 34 : 42,
          },
          // Digits in columns stand below each other; elsewhere Inter's tabular hyphen would tear names apart.
          alignRight: { fontVariantNumeric: "tabular-nums" },
          paddingCheckbox: { width: 48, paddingInline: "8px 0" },
        },
      },
      // The names of the columns stay in view below the top bar; a row that is scrolled to is not under them.
      MuiTableHead: { styleOverrides: { root: { position: "sticky", top: BAR_HEIGHT, zIndex: 2 } } },
      MuiTableRow: {
        styleOverrides: {
          root: {
            "tbody > &": { scrollMarginBlockStart: 44 },
            "tbody > &:last-of-type > td": { borderBottom: 0 },
            "&.Mui-selected, &.Mui-selected:hover": { backgroundColor: "color-mix(in srgb, var(--mui-palette-primary-main) 9%, transparent)" },
          },
        },
      },
      MuiCheckbox: { styleOverrides: { root: { padding: 6, "@media (pointer: coarse)": { padding: 11 } } } },
      MuiLink: { defaultProps: { underline: "hover" }, styleOverrides: { button: { minHeight: 24, "@media (pointer: coarse)": { minHeight: 44 } } } },
      MuiFormControlLabel: { styleOverrides: { root: { "@media (pointer: coarse)": { minHeight: 44 } } } },
      MuiToggleButton: {
        styleOverrides: {
          root: { borderRadius: 8, textTransform: "none", borderColor: "var(--mui-palette-divider)", color: "var(--mui-palette-text-primary)",
            paddingBlock: 5,
            "@media (pointer: coarse)": { minHeight: 44 },
            "&.Mui-selected, &.Mui-selected:hover": {
              color: "var(--mui-palette-primary-main)",
              backgroundColor: "color-mix(in srgb, var(--mui-palette-primary-main) 12%, transparent)",
              "@media (forced-colors: active)": { forcedColorAdjust: "none", backgroundColor: "Highlight", color: "HighlightText" },
            },
          },
        },
      },
      MuiPaginationItem: { styleOverrides: { root: { borderRadius: 8, "@media (pointer: coarse)": { minWidth: 44, height: 44 } } } },
    },
  });
}
